// Barriers and warp-wide operations. Every call has its source line, so that
// the report of a deadlock can name it.
#pragma once

#define STANDIN_AT const char *file = __builtin_FILE(), int line = __builtin_LINE()

static inline void __syncthreads(STANDIN_AT) {
    standin::runtime->block_barrier(standin::self(), standin::Barrier::sync, 0, 0, 0, file, line);
}
static inline int __syncthreads_and(int value, STANDIN_AT) {
    return standin::runtime->block_barrier(standin::self(), standin::Barrier::all, 0, 0, value, file, line);
}
static inline int __syncthreads_or(int value, STANDIN_AT) {
    return standin::runtime->block_barrier(standin::self(), standin::Barrier::any, 0, 0, value, file, line);
}
static inline int __syncthreads_count(int value, STANDIN_AT) {
    return standin::runtime->block_barrier(standin::self(), standin::Barrier::count, 0, 0, value, file, line);
}

namespace standin {

// `barrier.sync id, threads`: the equivalent of a named barrier.
inline void named_barrier(unsigned id, unsigned threads, STANDIN_AT) {
    runtime->block_barrier(self(), Barrier::sync, id, threads, 0, file, line);
}
inline void cluster_sync(STANDIN_AT) { runtime->cluster_barrier(self(), file, line); }
inline void grid_sync(STANDIN_AT) { runtime->grid_barrier(self(), file, line); }
inline unsigned cluster_rank() { return runtime->cluster_rank(self()); }
inline unsigned cluster_size() { return runtime->cluster_size(self()); }

// The address of the same `__shared__` object in another block of the cluster.
template <class T>
inline T* map_shared(T* address, unsigned rank) {
    return static_cast<T*>(runtime->map_shared(self(), address, rank));
}

// To be called in every loop that spins on memory: lets other threads run.
inline void poll(STANDIN_AT) { runtime->poll(self(), file, line); }

inline WarpOp warp_op(WarpKind kind, unsigned mask, uint64_t in, const char* file, int line) {
    WarpOp op{};
    op.kind = kind;
    op.mask = mask;
    op.in = in;
    op.file = file;
    op.line = line;
    return op;
}

template <class T>
inline T shuffle(unsigned mask, T value, unsigned source, const char* file, int line) {
    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    WarpOp op = warp_op(WarpKind::shuffle, mask, 0, file, line);
    op.source = source;
    memcpy(&op.in, &value, sizeof(T));
    runtime->warp(self(), &op);
    T result;
    memcpy(&result, &op.out, sizeof(T));
    return result;
}

inline uint64_t collective(WarpKind kind, unsigned mask, uint64_t in, unsigned detail, const char* file, int line) {
    WarpOp op = warp_op(kind, mask, in, file, line);
    op.detail = detail;
    runtime->warp(self(), &op);
    return op.out;
}

// Every lane gives `mine` and gets the values of all lanes of `mask`: the
// building block of warp-wide matrix instructions.
template <class T>
inline void warp_gather(unsigned mask, const T& mine, T (&all)[32], STANDIN_AT) {
    WarpOp op = warp_op(WarpKind::gather, mask, 0, file, line);
    op.item = &mine;
    op.items = all;
    op.item_bytes = sizeof(T);
    runtime->warp(self(), &op);
}

}  // namespace standin

static inline void __syncwarp(unsigned mask = 0xffffffffu, STANDIN_AT) {
    standin::collective(standin::WarpKind::sync, mask, 0, 0, file, line);
}
template <class T>
static inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, STANDIN_AT) {
    unsigned lane = standin::self()->lane, base = lane & ~unsigned(width - 1);
    return standin::shuffle(mask, value, base + (unsigned(source) & unsigned(width - 1)), file, line);
}
template <class T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, STANDIN_AT) {
    unsigned lane = standin::self()->lane, within = lane & unsigned(width - 1);
    return standin::shuffle(mask, value, within < delta ? lane : lane - delta, file, line);
}
template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, STANDIN_AT) {
    unsigned lane = standin::self()->lane, within = lane & unsigned(width - 1);
    return standin::shuffle(mask, value, within + delta < unsigned(width) ? lane + delta : lane, file, line);
}
template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, STANDIN_AT) {
    unsigned lane = standin::self()->lane, source = lane ^ unsigned(lane_mask);
    bool outside = (source & ~unsigned(width - 1)) > (lane & ~unsigned(width - 1));
    return standin::shuffle(mask, value, outside ? lane : source, file, line);
}
static inline unsigned __ballot_sync(unsigned mask, int predicate, STANDIN_AT) {
    return unsigned(standin::collective(standin::WarpKind::vote, mask, predicate != 0, 0, file, line));
}
static inline int __any_sync(unsigned mask, int predicate, STANDIN_AT) {
    return standin::collective(standin::WarpKind::vote, mask, predicate != 0, 0, file, line) != 0;
}
static inline int __all_sync(unsigned mask, int predicate, STANDIN_AT) {
    return unsigned(standin::collective(standin::WarpKind::vote, mask, predicate != 0, 0, file, line)) == mask;
}
template <class T>
static inline unsigned __match_any_sync(unsigned mask, T value, STANDIN_AT) {
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(T));
    return unsigned(standin::collective(standin::WarpKind::match, mask, bits, 0, file, line));
}
#define STANDIN_REDUCE(name, type, op)                                                                        \
    static inline type __reduce_##name##_sync(unsigned mask, type value, STANDIN_AT) {                        \
        return type(standin::collective(standin::WarpKind::reduce, mask, uint32_t(value), standin::op, file, line)); \
    }
STANDIN_REDUCE(add, unsigned, reduce_add)
STANDIN_REDUCE(add, int, reduce_add)
STANDIN_REDUCE(min, unsigned, reduce_min_u)
STANDIN_REDUCE(max, unsigned, reduce_max_u)
STANDIN_REDUCE(min, int, reduce_min_i)
STANDIN_REDUCE(max, int, reduce_max_i)
STANDIN_REDUCE(and, unsigned, reduce_and)
STANDIN_REDUCE(or, unsigned, reduce_or)
STANDIN_REDUCE(xor, unsigned, reduce_xor)
#undef STANDIN_REDUCE

// All lanes that have not exited: convergence of lanes is not modeled.
static inline unsigned __activemask() { return standin::runtime->live_lanes(standin::self()); }

// A sleeping thread lets others run, so that spin loops with sleep work.
static inline void __nanosleep(unsigned, STANDIN_AT) { standin::runtime->poll(standin::self(), file, line); }

static inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void __threadfence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
