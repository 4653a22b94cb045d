// Counts of the program's driver calls, written as JSON when it ends.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <map>
#include <string>

namespace standin {

struct Traffic {
    uint64_t count = 0, bytes = 0;
};

struct Counts {
    std::map<std::string, uint64_t> kernels;   // runs by kernel name, those of graphs included
    uint64_t kernel_launches = 0;              // calls to cuLaunchKernel and its variants outside captures
    uint64_t graph_launches = 0, graph_instantiations = 0;
    uint64_t allocations = 0, frees = 0;
    size_t peak_bytes = 0, largest_allocation = 0;
    uint64_t synchronizations = 0, modules = 0, host_allocations = 0;
    Traffic host_to_device, device_to_host, device_to_device, memset;

    void allocated(size_t bytes, size_t live);
    void freed() { ++frees; }
    std::string json() const;
};

Counts& counts();
// Registers the writing of the counts at exit, where STANDIN_COUNT is set.
void write_counts_at_exit();

}  // namespace standin
