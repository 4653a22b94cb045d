// The interface between the driver half and the engine for machine code of sm_90, a library of its
// own that is loaded where STANDIN_SM90 asks for it.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <string>
#include <vector>

namespace standin::sm90 {

// A kernel of a cubin, as its attributes describe it.
struct KernelFacts {
    struct Param {
        unsigned offset, bytes;
    };
    std::string name;
    unsigned registers = 0;
    unsigned static_shared = 0;   // without the 1024 bytes that the system reserves
    unsigned local_bytes = 0;     // of a thread: its stack frames and spilled registers
    unsigned max_threads = 0;     // __launch_bounds__, 0 without
    std::vector<Param> params;
};

struct Module;

struct MemoryRange {
    char* start;
    size_t bytes;
};

struct LaunchRequest {
    const Module* module;
    unsigned kernel;   // index in the module's facts
    unsigned grid[3], block[3];
    size_t dynamic_shared;
    bool cooperative;
    const char* params;
    const MemoryRange* memory;   // everything that a kernel may access, sorted by address
    size_t memory_count;
    uint8_t* written;            // of each: whether a kernel, this one or an earlier, has written to it
    unsigned order;              // of warps and blocks: 0 forward, 1 backward, 2 random
    uint64_t seed;
    unsigned threads;            // host threads
    uint32_t poison;             // content of registers and shared memory at the start
};

enum class Failure { none, illegal_address, misaligned_address, trap, unsupported };

struct LaunchResult {
    Failure failure = Failure::none;
    std::string text;            // of the failure
};

struct Engine {
    // Null, and the reason in `error`, if the cubin cannot be run.
    Module* (*load)(const void* cubin, std::string* error);
    void (*unload)(Module*);
    const std::vector<KernelFacts>& (*kernels)(const Module*);
    // Blocks of a kernel that fit on a multiprocessor together.
    int (*resident_blocks)(const KernelFacts&, unsigned threads, size_t dynamic_shared);
    LaunchResult (*run)(const LaunchRequest&);
};

}  // namespace standin::sm90

// The engine's only symbol.
extern "C" const standin::sm90::Engine* standin_sm90_engine();
