// CUDA's short vectors, with CUDA's alignments, so that a misaligned vector
// access is detected.
#pragma once

#define STANDIN_VECTORS(base, type, a1, a2, a4)                                                       \
    struct alignas(a1) base##1 {                                                                      \
        type x;                                                                                       \
    };                                                                                                \
    struct alignas(a2) base##2 {                                                                      \
        type x, y;                                                                                    \
    };                                                                                                \
    struct alignas(a4) base##4 {                                                                      \
        type x, y, z, w;                                                                              \
    };                                                                                                \
    static inline base##1 make_##base##1(type x) { return {x}; }                                      \
    static inline base##2 make_##base##2(type x, type y) { return {x, y}; }                           \
    static inline base##4 make_##base##4(type x, type y, type z, type w) { return {x, y, z, w}; }

#define STANDIN_VECTOR3(base, type)        \
    struct base##3 {                       \
        type x, y, z;                      \
    };                                     \
    static inline base##3 make_##base##3(type x, type y, type z) { return {x, y, z}; }

STANDIN_VECTORS(char, signed char, 1, 2, 4)
STANDIN_VECTORS(uchar, unsigned char, 1, 2, 4)
STANDIN_VECTORS(short, short, 2, 4, 8)
STANDIN_VECTORS(ushort, unsigned short, 2, 4, 8)
STANDIN_VECTORS(int, int, 4, 8, 16)
STANDIN_VECTORS(uint, unsigned, 4, 8, 16)
STANDIN_VECTORS(long, long, 8, 16, 16)
STANDIN_VECTORS(ulong, unsigned long, 8, 16, 16)
STANDIN_VECTORS(longlong, long long, 8, 16, 16)
STANDIN_VECTORS(ulonglong, unsigned long long, 8, 16, 16)
STANDIN_VECTORS(float, float, 4, 8, 16)
STANDIN_VECTORS(double, double, 8, 16, 16)
STANDIN_VECTOR3(char, signed char)
STANDIN_VECTOR3(uchar, unsigned char)
STANDIN_VECTOR3(short, short)
STANDIN_VECTOR3(ushort, unsigned short)
STANDIN_VECTOR3(int, int)
STANDIN_VECTOR3(float, float)
STANDIN_VECTOR3(double, double)
static inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }

#undef STANDIN_VECTORS
#undef STANDIN_VECTOR3
