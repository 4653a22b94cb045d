// A decoded instruction: everything that its execution needs, without text.
#pragma once
#include <stdint.h>

namespace standin::sm90 {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using i32 = int32_t;
using i64 = int64_t;

constexpr int lanes = 32;
constexpr u32 all_lanes = ~0u;
// The stand-in's mark of what nothing has written; also what a lane gets from one that does not take part.
constexpr u32 poison = 0x7fc0dead;

// One register of a warp: its value in every lane.
struct alignas(64) Row {
    u32 lane[lanes];
};

// Rows of a warp: what RZ reads, what writes to RZ fill, uniform registers (equal in all lanes), registers.
// The upper half of generic addresses in shared memory: none of the host's memory.
constexpr u32 shared_window = 0x7a000000;

constexpr u16 zero_row = 0, discard_row = 4, uniform_row = 8, register_row = 72;

// Predicates of a warp, one bit a lane: P0..P6, PT, UP0..UP6, UPT, and what writes to PT fill.
constexpr u8 true_predicate = 7, uniform_predicate = 8, uniform_true = 15, discard_predicate = 16, predicates = 17;

enum class Kind : u8 { none, row, immediate, constant };

// Changes of a source, in the order in which they apply.
enum Modify : u8 { absolute_int = 1, negate_int = 2, invert = 4, absolute_float = 8, negate_float = 16 };

struct Operand {
    Kind kind = Kind::none;
    u8 modify = 0;
    u8 bank = 0;                 // constant
    u16 row = 0;
    u32 offset = 0;              // constant: in bytes; its register, if it has one, is `row`
    const Row* pool = nullptr;   // immediate: in all lanes
};

// Where the latency is not that of the unit.
enum class Delay : u8 { of_unit, uniform_register, shared_atomic, uniform_constant, redux, indirect_branch, fence_block, fence_sc,
                        fence_all, cache_control, sleep };

struct PredicateOperand {
    u8 index = true_predicate;
    u32 flip = 0;   // all ones for a negated predicate
};

// What an instruction occupies in the timing model.
enum class Unit : u8 { fma, imad, alu, xu, convert, fp64, uniform, branch, shuffle, global_load, global_store, shared_load,
                       shared_store, constant_load, atomic, async_copy, barrier, fence, special, control, count };

// What `function` means in a fence.
constexpr u8 invalidates = 1;

struct Context;
struct Instruction;
using Handler = void (*)(Context&, const Instruction&, u32 mask);

struct Instruction {
    Handler run = nullptr;
    Operand source[4];
    PredicateOperand predicate[3];
    u16 target_row[2] = {discard_row, discard_row};
    u8 target_predicate[2] = {discard_predicate, discard_predicate};
    PredicateOperand guard;
    // Parameters of the handler. What is not explained here, the handler's decoder explains.
    u8 width = 0;            // bytes of an access; bits of a shift's type
    u8 compare = 0;          // of predicates.cpp
    u8 combine = 0;          // with a predicate: 0 and, 1 or, 2 xor
    u8 function = 0;
    u8 table[2] = {0, 0};    // lookup tables, types
    bool is_signed = false;
    bool carry = false;      // takes a carry, or a third operand
    bool high = false;       // the upper half of a result
    bool wrap = false;       // shift amounts modulo the width
    bool flush = false;      // denormals are zero
    bool saturate = false;
    bool strong = false;     // bypasses the first-level cache
    bool generic = false;    // address of global or shared memory
    u8 rounding = 0;         // nearest, down, up, to zero
    u8 scale = 0;            // shift of an address register
    i64 offset = 0;
    u32 value = 0;
    u32 target = 0;          // index of an instruction
    bool is_uniform = false;   // executed once for the warp
    bool is_ffma = false;
    bool ordered = false;      // observes or changes what other blocks see
    bool constant_operand = false;
    // Control bits.
    u8 stall = 1, write_barrier = 7, read_barrier = 7, wait_mask = 0;
    Unit unit = Unit::alu;
    Delay delay = Delay::of_unit;
    // Place, for messages and reports.
    u32 address = 0;
    u32 section = 0;
    u32 line = 0;        // index in the module's table of source lines, 0: unknown
    u32 text = 0;        // index in the module's table of texts
};

}  // namespace standin::sm90
