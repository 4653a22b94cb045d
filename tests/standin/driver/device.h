// The device that the stand-in pretends to be.
#pragma once
#include "module.h"

namespace standin {
int multiprocessors();
// How many blocks of this kernel fit on one multiprocessor at once, as far as
// threads and shared memory go; registers are not known here.
int blocks_per_multiprocessor(const CUfunc_st& function, size_t threads, size_t dynamic_shared);
}  // namespace standin
