// Device memory: every allocation fenced, filled with poison, and known by
// its range.
#pragma once
#include <stddef.h>

#include <string>

namespace standin {

enum class Kind { device, host, registered, global };

struct Range {
    char* start;
    size_t bytes;
    Kind kind;
};

// A new device or pinned host allocation. Null when the memory limit is met.
char* allocate(size_t bytes, Kind kind);
// Frees an allocation by its start. A CUresult: an overrun shows here too.
int release(char* start, Kind kind);

// Memory that somebody else owns: registered host memory, module globals.
void add_range(char* start, size_t bytes, Kind kind);
bool remove_range(char* start);

// The live range that holds `bytes` bytes from `address`; an address at the
// very end of a range belongs to it if nothing is read there.
bool find_range(const void* address, size_t bytes, Range* found);

// Checks every fence. False after naming the allocation that was overrun, and
// who has just run.
bool check_fences(const char* culprit);

// What memory stands at or near an address, in words; for fault messages.
// Called from a broken thread: takes no lock and allocates nothing but text.
std::string describe_address(const void* address);

size_t memory_used();

}  // namespace standin
