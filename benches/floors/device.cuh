// Device primitives of the chip measurements: clocks, and memory accesses whose instruction is part of
// what is measured, hence inline PTX. The second half are the twins for the stand-in driver.

typedef unsigned int u32;
typedef unsigned long long u64;

#define KERNEL extern "C" __global__ void
#define DEVICE static __device__ __forceinline__

#ifndef MSDCAM_STANDIN

typedef u32 Address; // an address in shared memory

#define READ_REGISTER(name, special) \
    DEVICE u64 name() { \
        u64 value; \
        asm volatile("mov.u64 %0, %%" special ";" : "=l"(value)::"memory"); \
        return value; \
    }
READ_REGISTER(cycles, "clock64")
READ_REGISTER(nanoseconds, "globaltimer")

#define LOAD(name, type, constraint, place, instruction) \
    DEVICE type name(place from) { \
        type value; \
        asm volatile(instruction " %0, [%1];" : "=" constraint(value) : constraint(from) : "memory"); \
        return value; \
    }
LOAD(load_l2, u64, "l", u64, "ld.global.cg.u64")
LOAD(load_l1, u64, "l", u64, "ld.global.u64")
LOAD(load_shared, u32, "r", Address, "ld.shared.u32")
LOAD(load_cluster, u32, "r", Address, "ld.shared::cluster.u32")

#define LOAD_WORD(name, instruction) \
    DEVICE u32 name(const u32* from) { \
        u32 value; \
        asm volatile(instruction " %0, [%1];" : "=r"(value) : "l"(from) : "memory"); \
        return value; \
    }
LOAD_WORD(load_acquire, "ld.acquire.gpu.global.u32")
LOAD_WORD(load_relaxed, "ld.relaxed.gpu.global.u32")

#define STORE_WORD(name, instruction) \
    DEVICE void name(u32* to, u32 value) { \
        asm volatile(instruction " [%0], %1;" ::"l"(to), "r"(value) : "memory"); \
    }
STORE_WORD(store_release, "st.release.gpu.global.u32")
STORE_WORD(store_relaxed, "st.relaxed.gpu.global.u32")
STORE_WORD(add_release, "red.release.gpu.global.add.u32")

#define ATOMIC_ADD(name, instruction) \
    DEVICE u32 name(u32* to, u32 value) { \
        u32 before; \
        asm volatile(instruction " %0, [%1], %2;" : "=r"(before) : "l"(to), "r"(value) : "memory"); \
        return before; \
    }
ATOMIC_ADD(atomic_relaxed, "atom.relaxed.gpu.global.add.u32")
ATOMIC_ADD(atomic_acq_rel, "atom.acq_rel.gpu.global.add.u32")

DEVICE void fence_acq_rel() { asm volatile("fence.acq_rel.gpu;" ::: "memory"); }

// Waits for `value`, so that a clock read after it is read late enough. No value is 0xffffffff.
DEVICE void consume(u64 value) {
    asm volatile("{ .reg .pred p; setp.eq.u64 p, %0, 0xffffffff; @p exit; }" ::"l"(value) : "memory");
}
DEVICE void consume(u32 value) {
    asm volatile("{ .reg .pred p; setp.eq.u32 p, %0, 0xffffffff; @p exit; }" ::"r"(value) : "memory");
}

DEVICE void launch_dependents() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }
DEVICE void wait_for_prerequisites() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

DEVICE void cluster_barrier() {
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}
// Orders no memory.
DEVICE void cluster_barrier_relaxed() {
    asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
    asm volatile("barrier.cluster.wait.aligned;" ::: "memory");
}
DEVICE u32 cluster_rank() {
    u32 rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}
DEVICE u32 multiprocessor() {
    u32 number;
    asm volatile("mov.u32 %0, %%smid;" : "=r"(number));
    return number;
}
DEVICE Address address_of(u32* shared) { return (u32)__cvta_generic_to_shared(shared); }
// The address of the same variable in block `rank` of the cluster.
DEVICE Address remote(u32* shared, u32 rank) {
    Address address;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(address_of(shared)), "r"(rank));
    return address;
}
DEVICE void store_remote(Address to, u32 value) {
    asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(to), "r"(value) : "memory");
}
// What a cell of a chain in shared memory holds, and the way from it to the next.
DEVICE Address cell_at(Address, u32 held) { return held; }
DEVICE u32 held_for(Address, Address next) { return next; }
DEVICE void polled() {}

#else

typedef u64 Address;

DEVICE u64 cycles() { return (u64)clock64(); }
DEVICE u64 nanoseconds() { return standin_globaltimer(); }
DEVICE u64 load_l2(u64 from) { return *(const u64*)from; }
DEVICE u64 load_l1(u64 from) { return *(const u64*)from; }
DEVICE u32 load_shared(Address from) { return *(const u32*)from; }
DEVICE u32 load_cluster(Address from) { return *(const u32*)from; }
DEVICE u32 load_acquire(const u32* from) { return __atomic_load_n(from, __ATOMIC_SEQ_CST); }
DEVICE u32 load_relaxed(const u32* from) { return __atomic_load_n(from, __ATOMIC_RELAXED); }
DEVICE void store_release(u32* to, u32 value) { __atomic_store_n(to, value, __ATOMIC_SEQ_CST); }
DEVICE void store_relaxed(u32* to, u32 value) { __atomic_store_n(to, value, __ATOMIC_RELAXED); }
DEVICE void add_release(u32* to, u32 value) { atomicAdd(to, value); }
DEVICE u32 atomic_relaxed(u32* to, u32 value) { return atomicAdd(to, value); }
DEVICE u32 atomic_acq_rel(u32* to, u32 value) { return atomicAdd(to, value); }
DEVICE void fence_acq_rel() { __threadfence(); }
DEVICE void consume(u64) {}
DEVICE void consume(u32) {}
DEVICE void launch_dependents() {}
DEVICE void wait_for_prerequisites() {}
DEVICE void cluster_barrier() { standin::cluster_sync(); }
DEVICE void cluster_barrier_relaxed() { standin::cluster_sync(); }
DEVICE u32 cluster_rank() { return standin::cluster_rank(); }
DEVICE u32 multiprocessor() { return blockIdx.x; }
DEVICE Address address_of(u32* shared) { return (Address)shared; }
DEVICE Address remote(u32* shared, u32 rank) { return (Address)standin::map_shared(shared, rank); }
DEVICE void store_remote(Address to, u32 value) { *(u32*)to = value; }
// Addresses have 64 bits here, and cells 32: they hold distances.
DEVICE Address cell_at(Address from, u32 held) { return from + (u64)(long long)(int)held; }
DEVICE u32 held_for(Address from, Address next) { return (u32)(next - from); }
DEVICE void polled() { standin::poll(); }

#endif

// Time on both clocks, from `start` to `stop`.
struct Watch {
    u64 cycle, nanosecond;
};
DEVICE Watch start() {
    Watch watch;
    watch.nanosecond = nanoseconds();
    watch.cycle = cycles();
    return watch;
}
DEVICE void stop(const Watch& watch, u64* out) {
    u64 cycle = cycles();
    out[1] = nanoseconds() - watch.nanosecond;
    out[0] = cycle - watch.cycle;
}
