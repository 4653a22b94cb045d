// The interface between the driver half and a compiled kernel library: the
// state of a device thread, and the functions of the driver that it may call.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct alignas(4) uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
    constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
    constexpr operator uint3() const { return uint3{x, y, z}; }
};

namespace standin {

// Size and alignment of a fiber's stack: the stack pointer alone identifies
// the device thread that runs on it (self() below).
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t stack_bytes = 256 << 10;
#else
constexpr size_t stack_bytes = 64 << 10;
#endif

// The word that fresh memory is filled with: a quiet NaN as f32, a NaN as its
// upper bf16, a huge index as an integer. Its payload survives arithmetic.
constexpr uint32_t poison = 0x7fc0dead;

struct Block;
struct Stack;

enum class State : unsigned char { ready, polling, at_block, at_warp, at_cluster, at_grid, done };

enum class WarpKind : unsigned char { sync, shuffle, vote, match, reduce, gather };

// One lane's data in a warp-wide operation. The driver fills `out` of every
// lane when the last lane of `mask` has arrived.
struct WarpOp {
    WarpKind kind;
    unsigned mask;
    unsigned detail;    // the reduction; equal in all lanes
    unsigned source;    // shuffle: the lane to read from
    uint64_t in;        // the value given
    uint64_t out;       // the value received
    const void* item;   // gather: the value of this lane ...
    void* items;        // ... and room for 32 of them
    unsigned item_bytes;
    const char* file;
    int line;
};

enum Reduction : unsigned { reduce_none, reduce_add, reduce_min_u, reduce_max_u, reduce_min_i, reduce_max_i,
                            reduce_and, reduce_or, reduce_xor };

// Block-wide barriers: plain, or with a vote over all threads.
enum class Barrier : unsigned char { sync, all, any, count };

struct Thread {
    uint3 index;         // threadIdx
    uint3 block_index;   // blockIdx
    dim3 block_dim;
    dim3 grid_dim;
    Block* block;
    Stack* stack;        // null until it starts
    unsigned linear, warp, lane;
    State state;
    WarpOp* warp_op;
    // the block barrier that it waits at
    Barrier barrier;
    unsigned barrier_id;
    unsigned barrier_threads;   // 0: the whole block
    int barrier_value;          // given, then received
    const char* file;
    int line;
};

enum class Failure : unsigned char { trap, assertion, deadlock, misuse, fault };

// The functions that kernels call, as one table, set when a module is loaded.
struct Runtime {
    int (*block_barrier)(Thread*, Barrier, unsigned id, unsigned threads, int value, const char* file, int line);
    void (*warp)(Thread*, WarpOp*);
    void (*cluster_barrier)(Thread*, const char* file, int line);
    void (*grid_barrier)(Thread*, const char* file, int line);
    void (*poll)(Thread*, const char* file, int line);
    void* (*shared)(Thread*, const void* key, size_t bytes, size_t align);
    void* (*dynamic_shared)(Thread*);
    size_t (*dynamic_shared_bytes)(Thread*);
    void* (*map_shared)(Thread*, const void* address, unsigned cluster_rank);
    unsigned (*cluster_rank)(Thread*);
    unsigned (*cluster_size)(Thread*);
    unsigned (*live_lanes)(Thread*);
    void (*fail)(Thread*, Failure, const char* message, const char* file, int line);
};

struct Param {
    unsigned bytes, align;
    bool pointer;
    unsigned pointee_align;
};

struct Kernel {
    const char* expression;   // its name in the source
    const void* entry;
    void (*call)(const void* entry, void* const* params);
    const Param* params;
    unsigned param_count;
    unsigned max_threads;     // __launch_bounds__, 0 without
};

// The device thread that runs on the current stack.
inline __attribute__((always_inline)) Thread* self() {
    uintptr_t stack_pointer;
#if defined(__x86_64__)
    asm("movq %%rsp, %0" : "=r"(stack_pointer));
#elif defined(__aarch64__)
    asm("mov %0, sp" : "=r"(stack_pointer));
#else
    stack_pointer = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
#endif
    return *reinterpret_cast<Thread**>((stack_pointer | (stack_bytes - 1)) + 1 - 64);
}

}  // namespace standin
