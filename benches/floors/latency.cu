// Kernels of one thread for latencies: chains of loads, fences, atomics, kernel parameters.

// Writes whole sectors of 32 bytes, so that no read has to fetch the rest of one.
KERNEL plant(const u64* at, const u64* to, u32 count) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    ulonglong2 both = {to[i], to[i]};
    ((ulonglong2*)at[i])[0] = both;
    ((ulonglong2*)at[i])[1] = both;
}

// Each load's address is the value of the load before. `warm` untimed loads, then `loads`, a multiple of 16.
#define CHASE(name, load) \
    KERNEL name(u64 first, u32 warm, u32 loads, u64* out) { \
        u64 at = first; \
        _Pragma("unroll 1") for (u32 i = 0; i < warm; ++i) at = load(at); \
        consume(at); \
        Watch watch = start(); \
        _Pragma("unroll 1") for (u32 i = 0; i < loads; i += 16) { \
            _Pragma("unroll") for (u32 k = 0; k < 16; ++k) at = load(at); \
        } \
        consume(at); \
        stop(watch, out); \
        out[2] = at; \
    }
CHASE(chase_l2, load_l2)
CHASE(chase_l1, load_l1)

// Cells that hold their own address: the latency of each, from 16 loads.
KERNEL visit_l2(const u64* cells, u32 count, u64* out) {
    _Pragma("unroll 1") for (u32 i = 0; i < count; ++i) {
        u64 at = load_l2(load_l2(cells[i]));
        consume(at);
        u64 begin = cycles();
        _Pragma("unroll") for (u32 k = 0; k < 16; ++k) at = load_l2(at);
        consume(at);
        u64 end = cycles();
        out[i] = at == cells[i] ? end - begin : 0;
    }
}

#define CELLS 1024
#define STRIDE 17 // cells from one to the next

// The chain goes through `base`, which this thread fills by `put`.
#define FILL_CELLS(base, put) \
    for (u32 i = 0; i < CELLS; ++i) { \
        Address here = base + i * 4, next = base + (i + STRIDE) % CELLS * 4; \
        put(here, held_for(here, next)); \
    }
#define CHASE_CELLS(base, load, loads, out) \
    Address at = base; \
    Watch watch = start(); \
    _Pragma("unroll 1") for (u32 i = 0; i < loads; i += 16) { \
        _Pragma("unroll") for (u32 k = 0; k < 16; ++k) at = cell_at(at, load(at)); \
    } \
    consume(at); \
    stop(watch, out); \
    out[2] = (u64)(at - base) / 4;

DEVICE void put_shared(Address to, u32 value) {
#ifndef MSDCAM_STANDIN
    asm volatile("st.shared.u32 [%0], %1;" ::"r"(to), "r"(value) : "memory");
#else
    *(u32*)to = value;
#endif
}

KERNEL chase_shared(u32 loads, u64* out) {
    __shared__ u32 cells[CELLS];
    Address base = address_of(cells);
    FILL_CELLS(base, put_shared)
    CHASE_CELLS(base, load_shared, loads, out)
}

// The first block of the cluster chases through the last one's shared memory.
KERNEL chase_cluster(u32 loads, u64* out) {
    __shared__ u32 cells[CELLS];
    bool last = blockIdx.x == gridDim.x - 1;
    if (last)
        for (u32 i = 0; i < CELLS; ++i) cells[i] = 0xffffffffu;
    cluster_barrier();
    if (cluster_rank() == 0) {
        Address base = remote(cells, gridDim.x - 1);
        FILL_CELLS(base, store_remote)
        CHASE_CELLS(base, load_cluster, loads, out)
    }
    cluster_barrier();
    if (last) {
        u32 written = 0;
        for (u32 i = 0; i < CELLS; ++i) written += cells[i] != 0xffffffffu;
        out[3] = written;
    }
}

// A fence alone or behind a store of one word to a line of its own.
#define FENCE(name, before, fence) \
    KERNEL name(u32* words, u32 rounds, u64* out) { \
        Watch watch = start(); \
        _Pragma("unroll 1") for (u32 i = 0; i < rounds; ++i) { \
            before; \
            fence; \
        } \
        stop(watch, out); \
        out[2] = rounds; \
    }
FENCE(fence_sc, , __threadfence())
FENCE(fence_sc_stored, store_relaxed(words + i * 32, i), __threadfence())
FENCE(fence_acq_rel_alone, , fence_acq_rel())
FENCE(fence_acq_rel_stored, store_relaxed(words + i * 32, i), fence_acq_rel())

// Each adds what the one before returned: a Fibonacci sequence.
#define ATOMICS(name, add) \
    KERNEL name(u32* word, u32 rounds, u64* out) { \
        u32 before = 1; \
        word += threadIdx.x; /* or the compiler adds up over the warp first */ \
        Watch watch = start(); \
        _Pragma("unroll 1") for (u32 i = 0; i < rounds; i += 4) { \
            _Pragma("unroll") for (u32 k = 0; k < 4; ++k) before = add(word, before); \
        } \
        consume(before); \
        stop(watch, out); \
        out[2] = before; \
    }
ATOMICS(atomics_relaxed, atomic_relaxed)
ATOMICS(atomics_acq_rel, atomic_acq_rel)

#define TABLE_WORDS 960
#define TABLE_STEP 16 // words: 64 bytes
struct Table {
    u32 word[TABLE_WORDS];
};

// Reads one word of each 64 bytes of its parameter, twice; the word says where the next one is.
KERNEL parameters(const __grid_constant__ Table table, u64* out) {
    for (u32 pass = 0, n = 0; pass < 2; ++pass) {
        u32 at = 0;
        _Pragma("unroll 1") for (u32 i = 0; i < TABLE_WORDS / TABLE_STEP; ++i, ++n) {
            consume(at);
            u64 begin = cycles();
            at = table.word[at];
            consume(at);
            u64 end = cycles();
            out[n] = at == (i + 1) * TABLE_STEP ? end - begin : 0;
        }
    }
}
