#include "memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <deque>
#include <map>

#include "../device/abi.h"
#include "counts.h"
#include "cuda_abi.h"
#include "settings.h"

namespace standin {
namespace {

constexpr size_t page = 4096, alignment = 256;
constexpr unsigned char canary = 0xc7;
constexpr size_t quarantined = 256;

// An allocation has its own pages, and its end is as close to an inaccessible
// page as its alignment allows; the remaining bytes hold canaries.
struct Allocation {
    size_t bytes;
    Kind kind;
    char* mapping;
    size_t mapping_bytes;
    bool written_by_kernels = false;
};

std::map<char*, Allocation>& allocations() {
    static auto* map = new std::map<char*, Allocation>;
    return *map;
}

// Freed device memory stays inaccessible for a while, so that a use faults.
struct Freed {
    char* start;
    size_t bytes;
    char* mapping;
    size_t mapping_bytes;
};
std::deque<Freed>& freed() {
    static auto* deque = new std::deque<Freed>;
    return *deque;
}

size_t used = 0;

void fill(char* data, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 4) memcpy(data + i, &poison, std::min<size_t>(4, bytes - i));
}

const char* name_of(Kind kind) {
    switch (kind) {
        case Kind::device: return "device";
        case Kind::host: return "pinned host";
        case Kind::registered: return "registered host";
        default: return "module";
    }
}

#if !defined(__SANITIZE_ADDRESS__)
// The first byte from `from` on that is not a canary; `to` if all are.
char* first_changed(char* from, char* to) {
    static const auto* const untouched = [] {
        auto* bytes = new unsigned char[page];
        memset(bytes, canary, page);
        return bytes;
    }();
    if (to <= from || memcmp(from, untouched, size_t(to - from)) == 0) return to;
    while ((unsigned char)*from == canary) ++from;
    return from;
}

bool fence_holds(char* start, const Allocation& a, const char* culprit) {
    if (a.mapping == nullptr) return true;
    char* first = a.mapping + page;
    char* last = a.mapping + a.mapping_bytes - page;
    char* before = first_changed(first, start);
    char* after = first_changed(start + a.bytes, last);
    if (before == start && after == last) return true;
    bool is_before = before != start;
    say("%s: the %s allocation of %zu bytes at %p was overrun: %zu bytes %s changed", culprit, name_of(a.kind), a.bytes,
        (void*)start, is_before ? size_t(start - before) : size_t(after - start) - a.bytes,
        is_before ? "before its start" : "past its end");
    return false;
}
#endif

}  // namespace

char* allocate(size_t bytes, Kind kind) {
    if (kind == Kind::device && bytes > settings().memory - std::min(settings().memory, used)) return nullptr;
    Allocation a{bytes, kind, nullptr, 0};
    char* start;
#if defined(__SANITIZE_ADDRESS__)
    void* heap;
    if (posix_memalign(&heap, alignment, bytes) != 0) return nullptr;
    start = static_cast<char*>(heap);
#else
    size_t room = (bytes + alignment - 1) / alignment * alignment;
    size_t pages = (room + page - 1) / page * page;
    a.mapping_bytes = pages + 2 * page;
    void* mapping = mmap(nullptr, a.mapping_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) return nullptr;
    a.mapping = static_cast<char*>(mapping);
    char* last = a.mapping + page + pages;
    start = last - room;
    memset(a.mapping + page, canary, size_t(start - a.mapping) - page);
    memset(start + bytes, canary, room - bytes);
    mprotect(a.mapping, page, PROT_NONE);
    mprotect(last, page, PROT_NONE);
#endif
    fill(start, bytes);
    allocations()[start] = a;
    if (kind == Kind::device) {
        used += bytes;
        counts().allocated(bytes, used);
    }
    return start;
}

int release(char* start, Kind kind) {
    auto found = allocations().find(start);
    if (found == allocations().end() || found->second.kind != kind) {
        say("free of %p, which is no live %s allocation", (void*)start, name_of(kind));
        return CUDA_ERROR_INVALID_VALUE;
    }
    Allocation a = found->second;
    int result = CUDA_SUCCESS;
#if defined(__SANITIZE_ADDRESS__)
    free(start);
#else
    if (!fence_holds(start, a, "free")) result = CUDA_ERROR_ILLEGAL_ADDRESS;
    mprotect(a.mapping, a.mapping_bytes, PROT_NONE);
    madvise(a.mapping, a.mapping_bytes, MADV_DONTNEED);
    freed().push_back(Freed{start, a.bytes, a.mapping, a.mapping_bytes});
    if (freed().size() > quarantined) {
        munmap(freed().front().mapping, freed().front().mapping_bytes);
        freed().pop_front();
    }
#endif
    if (kind == Kind::device) {
        used -= a.bytes;
        counts().freed();
    }
    allocations().erase(found);
    return result;
}

void add_range(char* start, size_t bytes, Kind kind) { allocations()[start] = Allocation{bytes, kind, nullptr, 0}; }

bool remove_range(char* start) {
    auto found = allocations().find(start);
    if (found == allocations().end()) return false;
    if (found->second.kind == Kind::device || found->second.kind == Kind::host) return false;
    allocations().erase(found);
    return true;
}

bool find_range(const void* address, size_t bytes, Range* found) {
    char* p = static_cast<char*>(const_cast<void*>(address));
    auto next = allocations().upper_bound(p);
    if (next == allocations().begin()) return false;
    --next;
    size_t offset = size_t(p - next->first);
    if (offset > next->second.bytes || bytes > next->second.bytes - offset) return false;
    if (found != nullptr) *found = Range{next->first, next->second.bytes, next->second.kind};
    return true;
}

bool check_fences(const char* culprit) {
    (void)culprit;
#if !defined(__SANITIZE_ADDRESS__)
    for (const auto& [start, allocation] : allocations())
        if (!fence_holds(start, allocation, culprit)) return false;
#endif
    return true;
}

std::string describe_address(const void* address) {
    const char* p = static_cast<const char*>(address);
    char text[256];
    for (const auto& [start, a] : allocations()) {
        if (a.mapping == nullptr || p < a.mapping || p >= a.mapping + a.mapping_bytes) continue;
        if (p < start)
            snprintf(text, sizeof(text), "%zu bytes before the %s allocation of %zu bytes at %p", size_t(start - p),
                     name_of(a.kind), a.bytes, (const void*)start);
        else
            snprintf(text, sizeof(text), "byte %zu of the %s allocation of %zu bytes at %p", size_t(p - start),
                     name_of(a.kind), a.bytes, (const void*)start);
        return text;
    }
    for (const Freed& f : freed())
        if (p >= f.mapping && p < f.mapping + f.mapping_bytes) {
            snprintf(text, sizeof(text), "byte %td of a freed allocation of %zu bytes at %p", p - f.start, f.bytes,
                     (void*)f.start);
            return text;
        }
    snprintf(text, sizeof(text), "%p, which is in no allocation", address);
    return text;
}

std::vector<Range> all_ranges() {
    std::vector<Range> ranges;
    for (const auto& [start, a] : allocations()) ranges.push_back(Range{start, a.bytes, a.kind, a.written_by_kernels});
    return ranges;
}

void mark_written_by_kernels(char* start) {
    auto found = allocations().find(start);
    if (found != allocations().end()) found->second.written_by_kernels = true;
}

size_t memory_used() { return used; }

}  // namespace standin
