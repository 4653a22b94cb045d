// Atomics as atomics of the host: blocks of a launch may run on several host
// threads.
#pragma once

namespace standin {

template <class T, class F>
inline T atomic_update(T* address, F next) {
    T seen, wanted;
    __atomic_load(address, &seen, __ATOMIC_SEQ_CST);
    do {
        wanted = next(seen);
    } while (!__atomic_compare_exchange(address, &seen, &wanted, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    return seen;
}

}  // namespace standin

#define STANDIN_ATOMIC(name, type, next)                                                        \
    static inline type name(type* address, type value) {                                       \
        return standin::atomic_update(address, [value](type old) -> type { return next; });    \
    }
#define STANDIN_INTEGER_ATOMICS(type)                                                            \
    STANDIN_ATOMIC(atomicAdd, type, static_cast<type>(old + value))                                           \
    STANDIN_ATOMIC(atomicExch, type, ((void)old, value))                                         \
    STANDIN_ATOMIC(atomicMin, type, old < value ? old : value)                                   \
    STANDIN_ATOMIC(atomicMax, type, old > value ? old : value)                                   \
    STANDIN_ATOMIC(atomicAnd, type, old & value)                                                 \
    STANDIN_ATOMIC(atomicOr, type, old | value)                                                  \
    STANDIN_ATOMIC(atomicXor, type, old ^ value)                                                 \
    static inline type atomicCAS(type* address, type compare, type value) {                      \
        __atomic_compare_exchange(address, &compare, &value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
        return compare;                                                                          \
    }
STANDIN_INTEGER_ATOMICS(int)
STANDIN_INTEGER_ATOMICS(unsigned)
STANDIN_INTEGER_ATOMICS(unsigned long long)
STANDIN_ATOMIC(atomicSub, int, int(unsigned(old) - unsigned(value)))
STANDIN_ATOMIC(atomicSub, unsigned, old - value)
STANDIN_ATOMIC(atomicInc, unsigned, old >= value ? 0u : old + 1u)
STANDIN_ATOMIC(atomicDec, unsigned, (old == 0u || old > value) ? value : old - 1u)
STANDIN_ATOMIC(atomicAdd, float, old + value)
STANDIN_ATOMIC(atomicAdd, double, old + value)
STANDIN_ATOMIC(atomicExch, float, ((void)old, value))
#undef STANDIN_ATOMIC
#undef STANDIN_INTEGER_ATOMICS
