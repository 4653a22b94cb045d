// Kernels whose blocks wait for each other: grid barrier, flags, cluster barrier. Every wait on memory
// gives up after `polls` polls and sets an error word; `check` adds data that must have arrived.

DEVICE bool reached(const u32* word, u32 target, u32 polls, bool relaxed = false) {
    for (u32 i = 0; i < polls; ++i) {
        u32 value = relaxed ? load_relaxed(word) : load_acquire(word);
        if ((int)(value - target) >= 0) return true;
        polled();
    }
    return false;
}

KERNEL __launch_bounds__(256)
grid_barriers(u32* arrived, u32* slots, u32 rounds, u32 check, u32 polls, u32* error, u64* out) {
    Watch watch = start();
    for (u32 round = 1; round <= rounds; ++round) {
        if (check && threadIdx.x == 0) slots[blockIdx.x * 32] = round;
        __syncthreads();
        if (threadIdx.x == 0) {
            add_release(arrived, 1);
            if (!reached(arrived, round * gridDim.x, polls)) {
                atomicOr(error, 1u);
                polls = 0; // all is lost: the rounds left wait for nobody
            }
        }
        __syncthreads();
        if (check && threadIdx.x < gridDim.x) {
            // A block that has gone on may have written its next round.
            u32 seen = load_relaxed(slots + threadIdx.x * 32);
            if (seen != round && seen != round + 1) atomicOr(error, 2u);
        }
    }
    if (threadIdx.x == 0 && blockIdx.x == 0) stop(watch, out);
}

// Blocks 0 and `partner` pass a flag to and fro: there at `flags`, back 4 KB behind it.
template <int KIND>
DEVICE void
pass_flags(u32* flags, u32* data, u32 partner, u32 rounds, u32 check, u32 polls, u32* error, u64* out) {
    bool first = blockIdx.x == 0;
    if (threadIdx.x != 0 || (!first && blockIdx.x != partner)) return;
    u32 *mine = first ? flags : flags + 1024, *theirs = first ? flags + 1024 : flags;
    out[first ? 2 : 3] = multiprocessor();
    Watch watch = start();
    for (u32 round = 1; round <= rounds; ++round) {
        if (!first && !reached(theirs, round, polls, KIND == 2)) {
            atomicOr(error, 1u);
            return;
        }
        if (check && !first && data[0] != round * 3) atomicOr(error, 2u);
        if (check && first) data[0] = round * 3;
        if (KIND == 0) add_release(mine, 1);
        if (KIND == 1) store_release(mine, round);
        if (KIND == 2) store_relaxed(mine, round);
        if (first && !reached(theirs, round, polls, KIND == 2)) {
            atomicOr(error, 1u);
            return;
        }
    }
    if (first) stop(watch, out);
}
#define FLAGS(name, kind) \
    KERNEL name(u32* flags, u32* data, u32 partner, u32 rounds, u32 check, u32 polls, u32* error, \
                u64* out) { \
        pass_flags<kind>(flags, data, partner, rounds, check, polls, error, out); \
    }
FLAGS(flags_red, 0)
FLAGS(flags_store, 1)
FLAGS(flags_relaxed, 2)

template <bool ORDERED>
DEVICE void meet_in_clusters(u32 size, u32 rounds, u32 check, u32* error, u64* out) {
    __shared__ u32 slot;
    Address next = remote(&slot, (cluster_rank() + 1) % size);
    Watch watch = start();
    for (u32 round = 1; round <= rounds; ++round) {
        if (check && threadIdx.x == 0) slot = round;
        if (ORDERED)
            cluster_barrier();
        else
            cluster_barrier_relaxed();
        if (check) {
            if (load_cluster(next) != round) atomicOr(error, 2u);
            cluster_barrier();
        }
    }
    if (threadIdx.x == 0) stop(watch, out + blockIdx.x * 2);
    cluster_barrier(); // none leaves while another reads its shared memory
}
KERNEL __launch_bounds__(256)
cluster_barriers(u32 size, u32 rounds, u32 check, u32* error, u64* out) {
    meet_in_clusters<true>(size, rounds, check, error, out);
}
KERNEL __launch_bounds__(256)
cluster_barriers_relaxed(u32 size, u32 rounds, u32 check, u32* error, u64* out) {
    meet_in_clusters<false>(size, rounds, check, error, out);
}
