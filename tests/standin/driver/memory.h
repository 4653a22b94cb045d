// Device memory: every allocation is fenced, filled with poison, and
// registered by its range.
#pragma once
#include <stddef.h>

#include <string>
#include <vector>

namespace standin {

enum class Kind { device, host, registered, global };

struct Range {
    char* start;
    size_t bytes;
    Kind kind;
    bool written_by_kernels;   // known of machine code only
};

// A new device or pinned host allocation. Null beyond the memory limit.
char* allocate(size_t bytes, Kind kind);
// Frees an allocation by its start. Returns a CUresult, also for an overrun.
int release(char* start, Kind kind);

// Memory with another owner: registered host memory, module globals.
void add_range(char* start, size_t bytes, Kind kind);
bool remove_range(char* start);

// A kernel has written into the allocation that starts there.
void mark_written_by_kernels(char* start);

// The live range that contains `bytes` bytes from `address`; an address at
// the end of a range belongs to it if zero bytes are read there.
bool find_range(const void* address, size_t bytes, Range* found);

// Checks every fence. On an overrun, prints the allocation and the kernel that
// has just run, and returns false.
bool check_fences(const char* culprit);

// Description of the memory at or near an address, for fault messages. Called
// from a faulting thread: takes no lock and allocates only text.
std::string describe_address(const void* address);

// All live ranges, by address.
std::vector<Range> all_ranges();

size_t memory_used();

}  // namespace standin
