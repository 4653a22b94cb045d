// Machine code of sm_90, executed by the engine in ../sm90 where STANDIN_SM90 is set.
#pragma once
#include <string>

#include "../device/abi.h"
#include "../sm90/engine.h"
#include "launch.h"
#include "module.h"

namespace standin {

// Whether the image is a GPU's machine code.
bool is_machine_code(const void* image);
// The functions of a cubin, in `module`. Returns a CUresult.
int load_machine_code(const void* image, CUmod_st* module);
void unload_machine_code(CUmod_st* module);
// Runs a launch of such a function to its end. Returns a CUresult.
int run_machine_code(const Launch& launch);
int blocks_per_multiprocessor_of(const CUfunc_st& function, size_t threads, size_t dynamic_shared);

}  // namespace standin
