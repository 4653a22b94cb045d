// Device functions of mathematics that C++ lacks or names differently.
#pragma once

template <class To, class From>
static inline To standin_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "sizes differ");
    To to;
    memcpy(&to, &from, sizeof(To));
    return to;
}

static inline int __float_as_int(float v) { return standin_bits<int>(v); }
static inline unsigned __float_as_uint(float v) { return standin_bits<unsigned>(v); }
static inline float __int_as_float(int v) { return standin_bits<float>(v); }
static inline float __uint_as_float(unsigned v) { return standin_bits<float>(v); }
static inline long long __double_as_longlong(double v) { return standin_bits<long long>(v); }
static inline double __longlong_as_double(long long v) { return standin_bits<double>(v); }

namespace standin {

// fmaxf and fminf drop a NaN, as on a GPU: a ReLU would hide that memory was
// never written. Therefore the NaN of the poison propagates; all others behave
// as on a GPU.
inline bool poisoned(float v) { return (__float_as_uint(v) & 0x7fffffffu) == poison; }
inline float maximum(float a, float b) { return poisoned(a) ? a : poisoned(b) ? b : __builtin_fmaxf(a, b); }
inline float minimum(float a, float b) { return poisoned(a) ? a : poisoned(b) ? b : __builtin_fminf(a, b); }

}  // namespace standin

#define fmaxf(a, b) (::standin::maximum((a), (b)))
#define fminf(a, b) (::standin::minimum((a), (b)))

#define STANDIN_MIN_MAX(type)                                          \
    static inline type min(type a, type b) { return b < a ? b : a; }   \
    static inline type max(type a, type b) { return a < b ? b : a; }
STANDIN_MIN_MAX(int)
STANDIN_MIN_MAX(unsigned)
STANDIN_MIN_MAX(long)
STANDIN_MIN_MAX(unsigned long)
STANDIN_MIN_MAX(long long)
STANDIN_MIN_MAX(unsigned long long)
#undef STANDIN_MIN_MAX
#define STANDIN_MIXED_MIN_MAX(a_type, b_type, type)                                      \
    static inline type min(a_type a, b_type b) { return min(type(a), type(b)); }         \
    static inline type max(a_type a, b_type b) { return max(type(a), type(b)); }
STANDIN_MIXED_MIN_MAX(int, unsigned, unsigned)
STANDIN_MIXED_MIN_MAX(unsigned, int, unsigned)
#undef STANDIN_MIXED_MIN_MAX
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }
static inline double min(float a, double b) { return fmin(double(a), b); }
static inline double max(float a, double b) { return fmax(double(a), b); }
static inline double min(double a, float b) { return fmin(a, double(b)); }
static inline double max(double a, float b) { return fmax(a, double(b)); }

// Never contracted into a fused multiply-add, as on a GPU.
__attribute__((optimize("fp-contract=off"), noinline)) static float __fmul_rn(float a, float b) { return a * b; }
__attribute__((optimize("fp-contract=off"), noinline)) static float __fadd_rn(float a, float b) { return a + b; }
__attribute__((optimize("fp-contract=off"), noinline)) static float __fsub_rn(float a, float b) { return a - b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __frcp_rn(float a) { return 1.0f / a; }
static inline float __fsqrt_rn(float a) { return sqrtf(a); }
static inline float __frsqrt_rn(float a) { return float(1.0 / sqrt(double(a))); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float rsqrtf(float a) { return float(1.0 / sqrt(double(a))); }
static inline double rsqrt(double a) { return 1.0 / sqrt(a); }
static inline float __fdividef(float a, float b) { return a / b; }
static inline float fdividef(float a, float b) { return a / b; }
// The C library declares these names with other types.
#define __expf(a) expf((a))
#define __exp10f(a) powf(10.0f, (a))
#define __logf(a) logf((a))
#define __log2f(a) log2f((a))
#define __log10f(a) log10f((a))
#define __powf(a, b) powf((a), (b))
#define __sinf(a) sinf((a))
#define __cosf(a) cosf((a))
#define __tanf(a) tanf((a))
static inline float __saturatef(float a) { return a >= 0.0f ? (a <= 1.0f ? a : 1.0f) : 0.0f; }

static inline int __float2int_rn(float a) { return int(nearbyintf(a)); }
static inline int __float2int_rz(float a) { return int(truncf(a)); }
static inline int __float2int_rd(float a) { return int(floorf(a)); }
static inline int __float2int_ru(float a) { return int(ceilf(a)); }
static inline unsigned __float2uint_rn(float a) { return unsigned(nearbyintf(a)); }
static inline unsigned __float2uint_rz(float a) { return unsigned(truncf(a)); }
static inline float __int2float_rn(int a) { return float(a); }
static inline float __uint2float_rn(unsigned a) { return float(a); }

static inline int __popc(unsigned a) { return __builtin_popcount(a); }
static inline int __popcll(unsigned long long a) { return __builtin_popcountll(a); }
static inline int __clz(int a) { return a == 0 ? 32 : __builtin_clz(unsigned(a)); }
static inline int __clzll(long long a) { return a == 0 ? 64 : __builtin_clzll((unsigned long long)a); }
static inline int __ffs(int a) { return __builtin_ffs(a); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
static inline int __mulhi(int a, int b) { return int((int64_t(a) * b) >> 32); }
static inline int __mul24(int a, int b) { return a * b; }
static inline unsigned __brev(unsigned a) {
    unsigned r = 0;
    for (int i = 0; i < 32; ++i) r |= ((a >> i) & 1u) << (31 - i);
    return r;
}
static inline unsigned __byte_perm(unsigned a, unsigned b, unsigned s) {
    uint64_t both = (uint64_t(b) << 32) | a;
    unsigned r = 0;
    for (int i = 0; i < 4; ++i) r |= unsigned((both >> (8 * ((s >> (4 * i)) & 7))) & 0xff) << (8 * i);
    return r;
}
static inline unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned s) {
    s &= 31;
    return s == 0 ? hi : (hi << s) | (lo >> (32 - s));
}
static inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned s) {
    s &= 31;
    return s == 0 ? lo : (hi << (32 - s)) | (lo >> s);
}

// Loads and stores with a cache hint are loads and stores.
template <class T>
static inline T __ldg(const T* p) { return *p; }
template <class T>
static inline T __ldca(const T* p) { return *p; }
template <class T>
static inline T __ldcg(const T* p) {
    asm volatile("" ::: "memory");
    return *p;
}
template <class T>
static inline T __ldcs(const T* p) { return *p; }
template <class T>
static inline T __ldcv(const T* p) {
    asm volatile("" ::: "memory");
    return *p;
}
template <class T>
static inline void __stcg(T* p, T v) { *p = v; }
template <class T>
static inline void __stcs(T* p, T v) { *p = v; }
template <class T>
static inline void __stwt(T* p, T v) { *p = v; }

static inline long long clock64() {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}
static inline unsigned long long standin_globaltimer() { return (unsigned long long)clock64(); }

static inline size_t __cvta_generic_to_shared(const void* p) { return reinterpret_cast<size_t>(p); }
