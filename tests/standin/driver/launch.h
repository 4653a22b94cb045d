// One kernel launch: checked when it is submitted, run when it is due.
#pragma once
#include <memory>
#include <vector>

#include "module.h"

namespace standin {

struct Launch {
    CUfunction function = nullptr;
    dim3 grid, block;
    size_t shared = 0;
    bool cooperative = false;
    dim3 cluster{1, 1, 1};
    std::shared_ptr<char> params;        // the arguments, copied by the kernel's own sizes
    std::vector<size_t> offsets;
};

// Copies the arguments and checks the launch as a driver would.
int prepare(Launch* launch, void** params, void** extra);

// Pointer arguments must point into live memory: checked at every run, since a
// graph may outlive the memory that it was captured with.
int check_pointers(const Launch& launch);

// Runs it to its end. Returns a CUresult, which becomes sticky.
int run(const Launch& launch);

}  // namespace standin
