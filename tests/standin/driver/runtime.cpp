// Functions that kernels call: barriers, warp operations, shared memory, failures.
#include <string.h>

#include <algorithm>

#include "block.h"
#include "cuda_abi.h"

namespace standin {
namespace {

// Yields the processor. Does not return if the launch has failed.
void wait(Thread* t, State state) {
    t->state = state;
    leave(t->stack);
}

[[noreturn]] void stop(Thread* t) { abandon(t->stack); }

int block_barrier(Thread* t, Barrier barrier, unsigned id, unsigned threads, int value, const char* file, int line) {
    t->barrier = barrier;
    t->barrier_id = id;
    t->barrier_threads = threads;
    t->barrier_value = value;
    t->file = file;
    t->line = line;
    if (id > 15 || threads % 32 != 0) {
        t->block->grid->fail(CUDA_ERROR_LAUNCH_FAILED, t, "barrier %u of %u threads at %s:%d is not one", id, threads,
                             file, line);
        stop(t);
    }
    ++t->block->waiting;
    wait(t, State::at_block);
    return t->barrier_value;
}

uint64_t reduce(unsigned detail, uint64_t a, uint64_t b) {
    uint32_t ua = uint32_t(a), ub = uint32_t(b);
    int32_t ia = int32_t(ua), ib = int32_t(ub);
    switch (detail) {
        case reduce_add: return uint32_t(ua + ub);
        case reduce_min_u: return std::min(ua, ub);
        case reduce_max_u: return std::max(ua, ub);
        case reduce_min_i: return uint32_t(std::min(ia, ib));
        case reduce_max_i: return uint32_t(std::max(ia, ib));
        case reduce_and: return ua & ub;
        case reduce_or: return ua | ub;
        default: return ua ^ ub;
    }
}

// All lanes have arrived: gives every lane its result.
void complete(Thread* const lanes[32], unsigned mask) {
    uint64_t votes = 0, reduced = 0;
    bool first = true;
    for (unsigned l = 0; l < 32; ++l) {
        if (lanes[l] == nullptr) continue;
        const WarpOp& op = *lanes[l]->warp_op;
        if (op.in != 0) votes |= uint64_t(1) << l;
        reduced = first ? op.in : reduce(op.detail, reduced, op.in);
        first = false;
    }
    for (unsigned l = 0; l < 32; ++l) {
        if (lanes[l] == nullptr) continue;
        WarpOp& op = *lanes[l]->warp_op;
        switch (op.kind) {
            case WarpKind::sync: break;
            case WarpKind::shuffle: {
                // A lane that does not participate has no value.
                const Thread* from = op.source < 32 ? lanes[op.source] : nullptr;
                op.out = from != nullptr ? from->warp_op->in : uint64_t(poison) << 32 | poison;
                break;
            }
            case WarpKind::vote: op.out = votes & mask; break;
            case WarpKind::reduce: op.out = reduced; break;
            case WarpKind::match:
                op.out = 0;
                for (unsigned o = 0; o < 32; ++o)
                    if (lanes[o] != nullptr && lanes[o]->warp_op->in == op.in) op.out |= uint64_t(1) << o;
                break;
            case WarpKind::gather:
                for (unsigned o = 0; o < 32; ++o) {
                    char* to = static_cast<char*>(op.items) + size_t(o) * op.item_bytes;
                    if (lanes[o] != nullptr)
                        memcpy(to, lanes[o]->warp_op->item, op.item_bytes);
                    else
                        for (unsigned i = 0; i + 4 <= op.item_bytes; i += 4) memcpy(to + i, &poison, 4);
                }
                break;
        }
    }
    for (unsigned l = 0; l < 32; ++l)
        if (lanes[l] != nullptr) lanes[l]->state = State::ready;
}

void warp(Thread* t, WarpOp* op) {
    Block& block = *t->block;
    t->warp_op = op;
    t->file = op->file;
    t->line = op->line;
    if ((op->mask >> t->lane & 1u) == 0) {
        block.grid->fail(CUDA_ERROR_LAUNCH_FAILED, t, "the mask %08x of the warp operation of %s:%d misses its own lane %u",
                         op->mask, op->file, op->line, t->lane);
        stop(t);
    }
    t->state = State::at_warp;
    Thread* lanes[32] = {};
    bool complete_now = true;
    for (unsigned l = 0; l < 32 && complete_now; ++l) {
        size_t i = size_t(t->warp) * 32 + l;
        // Lanes beyond the block's last thread do not exist.
        if ((op->mask >> l & 1u) == 0 || i >= block.threads.size()) continue;
        Thread& other = block.threads[i];
        if (other.state == State::done) {
            block.grid->fail(CUDA_ERROR_LAUNCH_FAILED, t,
                             "waits at the warp operation of %s:%d (mask %08x) for lane %u, which has exited", op->file,
                             op->line, op->mask, l);
            stop(t);
        }
        complete_now = other.state == State::at_warp && other.warp_op->mask == op->mask;
        if (!complete_now) break;
        const WarpOp& there = *other.warp_op;
        if (there.kind != op->kind || there.detail != op->detail || there.line != op->line) {
            block.grid->fail(CUDA_ERROR_LAUNCH_FAILED, t,
                             "runs the warp operation of %s:%d while lane %u runs the one of %s:%d", op->file, op->line,
                             l, there.file, there.line);
            stop(t);
        }
        lanes[l] = &other;
    }
    if (complete_now) complete(lanes, op->mask);
    leave(t->stack);
}

void cluster_barrier(Thread* t, const char* file, int line) {
    t->file = file;
    t->line = line;
    wait(t, State::at_cluster);
}

void grid_barrier(Thread* t, const char* file, int line) {
    t->file = file;
    t->line = line;
    if (!t->block->grid->cooperative) {
        t->block->grid->fail(CUDA_ERROR_LAUNCH_FAILED, t,
                             "the grid barrier of %s:%d in a launch that is not cooperative", file, line);
        stop(t);
    }
    wait(t, State::at_grid);
}

void poll(Thread* t, const char* file, int line) {
    t->file = file;
    t->line = line;
    if (t->block->grid->failed()) stop(t);
    wait(t, State::polling);
}

void* shared(Thread* t, const void* key, size_t bytes, size_t align) {
    Block& block = *t->block;
    void* data = block.shared_slot(key, bytes, align);
    if (block.shared_bytes > 48 * 1024) {
        block.grid->fail(CUDA_ERROR_LAUNCH_FAILED, t, "%zu bytes of static shared memory; 49152 is the most",
                         block.shared_bytes);
        stop(t);
    }
    return data;
}

void* dynamic_shared(Thread* t) {
    return t->block->shared_slot(nullptr, t->block->grid->dynamic_shared, 128);
}

size_t dynamic_shared_bytes(Thread* t) { return t->block->grid->dynamic_shared; }

void* map_shared(Thread* t, const void* address, unsigned rank) {
    Block& mine = *t->block;
    const char* p = static_cast<const char*>(address);
    for (const SharedSlot& slot : mine.shared) {
        if (!slot.live || p < slot.data || p > slot.data + slot.bytes) continue;
        if (rank >= mine.grid->cluster_size) break;
        Block& other = *mine.worker->blocks[size_t(mine.cluster) * mine.grid->cluster_size + rank];
        size_t bytes = slot.bytes;
        ptrdiff_t offset = p - slot.data;
        return static_cast<char*>(other.shared_slot(slot.key, bytes, 128)) + offset;
    }
    mine.grid->fail(CUDA_ERROR_ILLEGAL_ADDRESS, t, "%p in block %u of the cluster is no shared memory", address, rank);
    stop(t);
}

unsigned cluster_rank(Thread* t) { return t->block->cluster_rank; }
unsigned cluster_size(Thread* t) { return t->block->grid->cluster_size; }

unsigned live_lanes(Thread* t) {
    unsigned mask = 0;
    for (unsigned l = 0; l < 32; ++l) {
        size_t i = size_t(t->warp) * 32 + l;
        if (i < t->block->threads.size() && t->block->threads[i].state != State::done) mask |= 1u << l;
    }
    return mask;
}

void fail(Thread* t, Failure failure, const char* message, const char* file, int line) {
    if (failure == Failure::assertion)
        t->block->grid->fail(code_of(failure), t, "%s:%d: assertion `%s` failed", file, line, message);
    else
        t->block->grid->fail(code_of(failure), t, "%s:%d: %s", file, line, message);
    stop(t);
}

}  // namespace

const Runtime& runtime_table() {
    static const Runtime table = {block_barrier, warp,           cluster_barrier,      grid_barrier, poll,
                                  shared,        dynamic_shared, dynamic_shared_bytes, map_shared,   cluster_rank,
                                  cluster_size,  live_lanes,     fail};
    return table;
}

}  // namespace standin
