// The CUDA C++ language as ordinary C++: prepended to every kernel source by the
// NVRTC half. `__global__` and `__shared__` are not macros: rewrite.cpp
// replaces them in the preprocessed text.
#pragma once
#include "abi.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <limits>
#include <type_traits>
#include <utility>

namespace standin {
// Set when a module is loaded, before any kernel runs.
static const Runtime* runtime __attribute__((used)) = nullptr;
extern "C" __attribute__((visibility("default"), used)) void standin_attach(const Runtime* table) { runtime = table; }
}  // namespace standin

#define __device__
#define __host__
#define __constant__
#define __managed__
#define __grid_constant__
#define __cluster_dims__(...)
#define __forceinline__ __inline__ __attribute__((always_inline))
#define __align__(n) __attribute__((aligned(n)))
#define __builtin_assume(condition) ((void)0)
#define __CUDA_ALIGN__(n) __align__(n)

#define threadIdx (::standin::self()->index)
#define blockIdx (::standin::self()->block_index)
#define blockDim (::standin::self()->block_dim)
#define gridDim (::standin::self()->grid_dim)
static constexpr int warpSize = 32;

#include "vectors.h"
#include "warp.h"
#include "atomics.h"
#include "maths.h"

#undef assert
#define assert(condition)                                                                                       \
    ((condition) ? (void)0                                                                                      \
                 : ::standin::runtime->fail(::standin::self(), ::standin::Failure::assertion, #condition, __FILE__, \
                                            __LINE__))
#define __trap() \
    ::standin::runtime->fail(::standin::self(), ::standin::Failure::trap, "__trap()", __FILE__, __LINE__)

#undef INFINITY
#undef NAN
#define INFINITY (__builtin_inff())
#define NAN (__builtin_nanf(""))

// The following names are used by libstdc++ itself.
#define __noinline__ __attribute__((noinline))

namespace standin {

template <class T>
struct Pointee {
    static constexpr bool pointer = false;
    static constexpr unsigned align = 1;
};
template <class T>
struct Pointee<T*> {
    static constexpr bool pointer = true;
    static constexpr unsigned align = [] {
        if constexpr (std::is_void_v<T> || std::is_function_v<T>)
            return 1u;
        else
            return unsigned(alignof(T));
    }();
};

template <class... A>
struct Params {
    static constexpr Param list[sizeof...(A) + 1] = {
        Param{unsigned(sizeof(A)), unsigned(alignof(A)), Pointee<std::remove_cv_t<A>>::pointer,
              Pointee<std::remove_cv_t<A>>::align}...,
        Param{}};

    template <size_t... I>
    static void spread(void (*entry)(A...), void* const* params, std::index_sequence<I...>) {
        entry(*static_cast<std::remove_reference_t<A>*>(params[I])...);
    }
    static void call(const void* entry, void* const* params) {
        spread(reinterpret_cast<void (*)(A...)>(const_cast<void*>(entry)), params, std::index_sequence_for<A...>{});
    }
};

template <class... A>
Kernel describe(void (*entry)(A...), const char* expression, unsigned max_threads) {
    return Kernel{expression, reinterpret_cast<const void*>(entry), &Params<A...>::call, Params<A...>::list,
                  unsigned(sizeof...(A)), max_threads};
}

// A `__shared__` variable, one for each struct that the rewriter makes.
template <class Holder>
inline Holder* shared() {
    static const char key = 0;
    return static_cast<Holder*>(runtime->shared(self(), &key, sizeof(Holder), alignof(Holder)));
}

// An `extern __shared__` array as the pointer it decays to.
template <class Array>
inline std::decay_t<Array> dynamic_shared() {
    return reinterpret_cast<std::decay_t<Array>>(runtime->dynamic_shared(self()));
}

}  // namespace standin
