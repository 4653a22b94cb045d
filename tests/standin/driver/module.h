// Loaded modules and their kernels.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../device/abi.h"
#include "../sm90/engine.h"
#include "cuda_abi.h"

struct CUfunc_st {
    CUmod_st* module = nullptr;
    std::string name;
    const standin::Kernel* kernel = nullptr;
    size_t static_shared = 0;            // known after the first run
    size_t dynamic_shared_limit = 48 * 1024;
    int carveout = -1;
    int non_portable_cluster = 0;
    // Machine code: what the cubin says of the kernel.
    const standin::sm90::KernelFacts* facts = nullptr;
    unsigned fact_index = 0;
    std::vector<standin::Param> own_params;
    standin::Kernel own_kernel{};
};

struct CUmod_st {
    void* library = nullptr;
    standin::sm90::Module* machine_code = nullptr;
    std::string copy;                    // a file to remove at unload
    std::map<std::string, std::unique_ptr<CUfunc_st>> functions;
};

namespace standin {
bool is_function(CUfunction function);
}
