// A cubin: the parts of its ELF file that execution needs.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "engine.h"
#include "instruction.h"

namespace standin::sm90 {

struct CubinKernel {
    KernelFacts facts;
    std::string section;                // of its code
    u32 param_offset = 0;               // in constant bank 0
    u32 param_bytes = 0;
    u32 shared_end = 0;                 // static shared memory including what the system reserves
    std::vector<u8> bank[8];            // banks 2 and up: initial content
};

struct Cubin {
    std::vector<u8> bytes;
    std::vector<CubinKernel> kernels;
    std::map<std::string, u64> code_bytes;   // size of each code section
};

// Bytes at the start of shared memory that the system uses: static variables follow.
constexpr u32 reserved_shared = 1024;

// The cubin that starts at `image`. Throws std::runtime_error if it is not machine code for sm_90.
Cubin read_cubin(const void* image);

}  // namespace standin::sm90
