// The device that the stand-in simulates.
#pragma once
#include "module.h"

namespace standin {
int multiprocessors();
// Number of blocks of this kernel that fit on one multiprocessor at once, by
// threads and shared memory; registers are not known here.
int blocks_per_multiprocessor(const CUfunc_st& function, size_t threads, size_t dynamic_shared);
}  // namespace standin
