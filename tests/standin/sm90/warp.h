// The state of execution: a warp and its groups of lanes, a block, and what a handler sees of them.
#pragma once
#include <stdexcept>
#include <string>
#include <vector>

#include "engine.h"
#include "instruction.h"

namespace standin::sm90 {

struct Multiprocessor;
struct LoadedKernel;
struct Grid;

// Ends a launch.
struct Fault : std::runtime_error {
    Failure failure;
    int lane;   // -1: the warp
    Fault(Failure failure, int lane, const std::string& text) : std::runtime_error(text), failure(failure), lane(lane) {}
};

enum class Wait : u8 { none, reconvergence, warp_sync, barrier };

// Lanes that execute together. Divergence splits a group; BSYNC, WARPSYNC and BAR merge groups.
struct Group {
    u32 mask = 0;
    u32 at = 0;               // index of the next instruction
    Wait wait = Wait::none;
    u32 partners = 0;         // reconvergence, warp_sync: the lanes that meet
    u8 barrier = 0;
};

// Bytes that cp.async has read and not yet written to shared memory: a kernel that forgets to wait
// for them finds what was there before.
struct AsyncCopy {
    u32 shared_address;
    u8 bytes;
    u8 data[16];
};

struct Block;

struct Warp {
    std::vector<Row> rows;
    u32 predicate[predicates];
    u32 convergence[16][lanes];    // B0..B15: lanes that meet, as each lane sees it
    u32 live = 0;
    std::vector<Group> groups;
    size_t current = 0;
    Block* block = nullptr;
    unsigned number = 0;           // in its block
    std::vector<AsyncCopy> copies;          // not committed
    std::vector<std::vector<AsyncCopy>> committed;
    u32 barrier_result = 0;        // of BAR.RED: a count, or 0 or 1
    u32 waited = 0;                // lanes that have executed griddepcontrol.wait
    bool done = false;
    bool slept = false;            // NANOSLEEP or YIELD: other warps first
    // Timing, in cycles.
    double next = 0, scoreboard[6] = {}, last = 0, end = 0;
    unsigned scheduler = 0, place = 0;   // of the multiprocessor, in the scheduler's list
    double copies_arrive = 0;
    std::vector<double> committed_arrive;
    u64 instructions = 0, ffma = 0;
    std::vector<double> cycles_at;  // by instruction, where asked for

    u32* row(unsigned index) { return rows[index].lane; }
    bool blocked() const { return !done && groups[current].wait != Wait::none; }
};

struct Barrier {
    u32 threads = 0;         // that have arrived
    u32 expected = 0;        // 0: all of the block
    u32 yes = 0;             // BAR.RED: threads whose predicate is true,
    u8 reduction = 0;        // and what becomes of it: 0 nothing, 1 the count, 2 "all", 3 "any"
    double latest = 0;
};

struct Block {
    unsigned number = 0;               // in the grid
    unsigned index[3] = {0, 0, 0};
    std::vector<Warp> warps;
    std::vector<u8> shared;            // with the bytes that the system reserves
    std::vector<u8> local;             // of all threads
    Barrier barrier[16];
    unsigned live_threads = 0;
    unsigned live_warps = 0;
    double start = 0;
    bool used = false;
};

// What an instruction has accessed, for the timing model.
struct Access {
    u64 sector[4 * lanes];     // of 32 bytes, distinct
    unsigned sectors = 0, lines = 0;
    unsigned wavefronts = 1;   // of shared memory
    u32 constant_line = ~0u;   // touched, of 64 bytes
    bool jumped = false;
};

// What a handler sees.
struct Context {
    Warp* warp = nullptr;
    Block* block = nullptr;
    const LoadedKernel* kernel = nullptr;
    const Grid* grid = nullptr;
    Multiprocessor* multiprocessor = nullptr;
    Row* rows = nullptr;
    const u8* bank[8] = {};
    u32 bank_bytes[8] = {};
    bool timed = false;
    double now = 0, barrier_latency = 0;
    bool executed = false;     // the last instruction, for at least one lane
    bool released = false;     // a barrier has opened
    Access access;

    Group& group() { return warp->groups[warp->current]; }
};

// Merges what waits and can go on, and chooses the warp's current group. Called after every change of
// groups, waits, or live lanes.
void settle(Warp& w);
// Releases the block's barriers that are complete.
void settle_barriers(Context& c, Block& b);

}  // namespace standin::sm90
