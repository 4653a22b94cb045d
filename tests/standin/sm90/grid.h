// A launch that is running: its kernel, its constants and the memory that it may access.
#pragma once
#include <mutex>
#include <string>
#include <vector>

#include "cubin.h"
#include "decode.h"
#include "engine.h"
#include "warp.h"

namespace standin::sm90 {

struct LoadedKernel {
    CubinKernel cubin;
    u32 entry = 0;           // index of its first instruction
    unsigned rows = 0;       // of a warp
    bool waits = false;      // contains griddepcontrol.wait, so that the launch before may still run until then
};

struct Module {
    Code code;
    std::vector<LoadedKernel> kernels;
    std::vector<KernelFacts> facts;
};

struct Grid {
    const LaunchRequest* request = nullptr;
    const Module* module = nullptr;
    const LoadedKernel* kernel = nullptr;
    std::vector<u8> bank0;
    unsigned threads = 0, blocks = 0, warps = 0;   // threads and warps of a block
    mutable std::mutex atomics;

    explicit Grid(const LaunchRequest& request);
    // Prepares a block for its first instruction.
    void start(Block& block, unsigned number) const;
    // Prepares what handlers see.
    void enter(Context& c) const;
    const MemoryRange* range_of(u64 address) const;
};

// Runs one instruction of the warp's current group. Returns it.
const Instruction& step(Context& c, const Code& code);

// The place of a fault: block, thread, instruction, source line.
std::string place_of(const Grid& grid, const Context& c, const Instruction& i, int lane);

}  // namespace standin::sm90
