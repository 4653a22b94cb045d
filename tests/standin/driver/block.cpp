#include "block.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_abi.h"

namespace standin {
namespace {

constexpr size_t canary_bytes = 128;
constexpr unsigned char canary = 0xc5;

void fill(char* data, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 4) memcpy(data + i, &poison, bytes - i < 4 ? bytes - i : 4);
}

}  // namespace

std::string place(const Thread* thread) {
    char text[128];
    const uint3 &b = thread->block_index, &t = thread->index;
    snprintf(text, sizeof(text), "block (%u,%u,%u) thread (%u,%u,%u)", b.x, b.y, b.z, t.x, t.y, t.z);
    return text;
}

int code_of(Failure failure) {
    switch (failure) {
        case Failure::assertion: return CUDA_ERROR_ASSERT;
        case Failure::fault: return CUDA_ERROR_ILLEGAL_ADDRESS;
        default: return CUDA_ERROR_LAUNCH_FAILED;
    }
}

void Grid::fail(int code, const Thread* thread, const char* format, ...) {
    int none = 0;
    if (!error.compare_exchange_strong(none, code)) return;
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (thread == nullptr)
        say("kernel %s: %s", name.c_str(), text);
    else
        say("kernel %s: %s: %s", name.c_str(), place(thread).c_str(), text);
}

Block::~Block() { clear_shared(); }

void Block::clear_shared() {
    for (SharedSlot& slot : shared) free(slot.heap);
    shared.clear();
}

void Block::start(Worker* worker_, Grid* grid_, unsigned number) {
    worker = worker_;
    grid = grid_;
    linear = number;
    const dim3 &g = grid->grid_dim, &d = grid->block_dim;
    index = uint3{number % g.x, number / g.x % g.y, number / g.x / g.y};
    size_t count = size_t(d.x) * d.y * d.z;
    threads.resize(count);
    for (size_t i = 0; i < count; ++i) {
        Thread& t = threads[i];
        unsigned n = unsigned(i);
        t.index = uint3{n % d.x, n / d.x % d.y, n / d.x / d.y};
        t.block_index = index;
        t.block_dim = d;
        t.grid_dim = g;
        t.block = this;
        t.stack = nullptr;
        t.linear = n;
        t.warp = n / 32;
        t.lane = n % 32;
        t.state = State::ready;
        t.warp_op = nullptr;
    }
    alive = unsigned(count);
    waiting = 0;
    passes = 0;
    shared_bytes = 0;
    for (SharedSlot& slot : shared) slot.live = false;
}

void* Block::shared_slot(const void* key, size_t bytes, size_t align) {
    SharedSlot* found = nullptr;
    for (SharedSlot& slot : shared)
        if (slot.key == key && slot.bytes == bytes) found = &slot;
    if (found == nullptr) {
        // AddressSanitizer guards heap blocks itself, to the byte.
#if defined(__SANITIZE_ADDRESS__)
        size_t margin = 0;
#else
        size_t margin = canary_bytes;
#endif
        void* heap;
        if (posix_memalign(&heap, align < 128 ? 128 : align, bytes + 2 * margin + (margin == 0 && bytes == 0)) != 0)
            abort();
        char* data = static_cast<char*>(heap) + margin;
        if (margin != 0 && margin % (align < 16 ? 16 : align) != 0) abort();
        shared.push_back(SharedSlot{key, data, bytes, static_cast<char*>(heap)});
        found = &shared.back();
        memset(heap, canary, margin);
        memset(data + bytes, canary, margin);
        if (!settings().poison_shared) memset(data, 0, bytes);
    }
    if (!found->live) {
        found->live = true;
        if (settings().poison_shared) fill(found->data, bytes);
        if (key != nullptr) shared_bytes += bytes;
    }
    return found->data;
}

bool Block::check_shared() {
#if !defined(__SANITIZE_ADDRESS__)
    for (const SharedSlot& slot : shared) {
        if (!slot.live) continue;
        for (size_t i = 0; i < canary_bytes; ++i) {
            bool before = (unsigned char)slot.data[-1 - long(i)] != canary;
            bool after = (unsigned char)slot.data[slot.bytes + i] != canary;
            if (!before && !after) continue;
            grid->fail(CUDA_ERROR_ILLEGAL_ADDRESS, nullptr,
                       "block (%u,%u,%u) wrote %zu bytes %s a %s shared array of %zu bytes", index.x, index.y, index.z,
                       before ? i + 1 : i, before ? "before the start of" : "past the end of",
                       slot.key == nullptr ? "dynamic" : "static", slot.bytes);
            return false;
        }
    }
#endif
    return true;
}

// Releases every block barrier that all its threads have reached.
void Block::release_barriers() {
    while (waiting > 0) {
        bool released = false;
        for (unsigned id = 0; id < 16 && !released; ++id) {
            unsigned arrived = 0, expected = 0;
            int all = 1, any = 0, count = 0;
            Thread* first = nullptr;
            for (Thread& t : threads) {
                if (t.state != State::at_block || t.barrier_id != id) continue;
                ++arrived;
                if (first == nullptr) first = &t;
                expected = t.barrier_threads == 0 ? alive : t.barrier_threads;
                all = all && t.barrier_value != 0;
                any = any || t.barrier_value != 0;
                count += t.barrier_value != 0;
            }
            if (arrived == 0 || arrived < expected) continue;
            for (Thread& t : threads) {
                if (t.state != State::at_block || t.barrier_id != id) continue;
                if (t.line != first->line || strcmp(t.file, first->file) != 0 || t.barrier != first->barrier) {
                    grid->fail(CUDA_ERROR_LAUNCH_FAILED, &t,
                               "waits at the barrier of %s:%d while thread (%u,%u,%u) waits at the one of %s:%d",
                               t.file, t.line, first->index.x, first->index.y, first->index.z, first->file,
                               first->line);
                    return;
                }
                t.barrier_value = t.barrier == Barrier::all ? all : t.barrier == Barrier::any ? any : count;
                t.state = State::ready;
                --waiting;
            }
            released = true;
        }
        if (!released) return;
    }
}

}  // namespace standin
