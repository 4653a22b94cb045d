// Kernels for arithmetic at full rate: fused multiply-adds, and matrix products on the tensor cores.

#define SUMS 16
#define TURNS 16 // of all sums, in a round

KERNEL __launch_bounds__(512) multiply_adds(u32 rounds, float* out, u64* times) {
    // All bits of the fraction are set in the first: sums change sign and most bits in each turn.
    float factor = -1.0f + (float)(threadIdx.x % 32 + 1) / 16777216.0f;
    float term = 1.0f / (float)(threadIdx.x + 3);
    float sum[SUMS];
    _Pragma("unroll") for (u32 k = 0; k < SUMS; ++k) sum[k] = (float)(k + 1) / 7.0f;
    Watch watch = start();
    _Pragma("unroll 1") for (u32 i = 0; i < rounds; ++i) {
        _Pragma("unroll") for (u32 t = 0; t < TURNS; ++t) {
            _Pragma("unroll") for (u32 k = 0; k < SUMS; ++k) sum[k] = __fmaf_rn(sum[k], factor, term);
        }
    }
    u32 bits = 0;
    _Pragma("unroll") for (u32 k = 0; k < SUMS; ++k) bits = bits * 3 + __float_as_uint(sum[k]);
    consume(bits);
    if (threadIdx.x == 0) stop(watch, times + blockIdx.x * 2);
    out[blockIdx.x * blockDim.x + threadIdx.x] = __uint_as_float(bits);
}

// An odd number from -127 to 127, exact in bf16 and TF32.
DEVICE float odd(u32 seed) { return (float)((int)((seed * 2654435761u) >> 25) * 2 - 127); }
DEVICE float left(u32 row, u32 k) { return odd(row * 31 + k * 17 + 3); }
DEVICE float right(u32 k, u32 column) { return odd(k * 13 + column * 29 + 5); }
// The left matrix negated, but for its first column: a product of both adds up to little.
DEVICE float undo(u32 row, u32 k) { return (k == 0 ? 2.0f : 0.0f) - left(row, k); }

// One lane's part of the operands of mma.sync.
struct Operands {
    u32 a[4], b[2];
};

template <u32 DEPTH>
DEVICE u32 pack(float low, float high) {
    u32 bits = __float_as_uint(low);
    return DEPTH == 16 ? bits >> 16 | (__float_as_uint(high) & 0xffff0000u) : bits;
}

template <u32 DEPTH>
DEVICE Operands operands(bool undone) {
    const u32 each = DEPTH == 16 ? 2 : 1; // numbers a register
    u32 group = threadIdx.x % 32 / 4, k = threadIdx.x % 4 * each;
    Operands o;
    for (u32 r = 0; r < 4; ++r) {
        u32 row = group + r % 2 * 8, first = k + r / 2 * 4 * each, second = first + each - 1;
        o.a[r] = undone ? pack<DEPTH>(undo(row, first), undo(row, second))
                        : pack<DEPTH>(left(row, first), left(row, second));
    }
    for (u32 r = 0; r < 2; ++r) {
        u32 first = k + r * 4 * each;
        o.b[r] = pack<DEPTH>(right(first, group), right(first + each - 1, group));
    }
    return o;
}

// c += a b for 16 rows, 8 columns and DEPTH terms: 16 for bf16, 8 for TF32.
template <u32 DEPTH>
DEVICE void multiply(float (&c)[4], const Operands& o) {
#ifndef MSDCAM_STANDIN
#define MMA(kind) \
    asm volatile("mma.sync.aligned." kind " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) \
                 : "r"(o.a[0]), "r"(o.a[1]), "r"(o.a[2]), "r"(o.a[3]), "r"(o.b[0]), "r"(o.b[1]))
    if (DEPTH == 16)
        MMA("m16n8k16.row.col.f32.bf16.bf16.f32");
    else
        MMA("m16n8k8.row.col.f32.tf32.tf32.f32");
#else
    Operands all[32];
    standin::warp_gather(0xffffffffu, o, all);
    const u32 each = DEPTH == 16 ? 2 : 1;
    auto number = [](u32 bits, u32 half) {
        return DEPTH != 16 ? __uint_as_float(bits) : __uint_as_float(half ? bits & 0xffff0000u : bits << 16);
    };
    u32 lane = threadIdx.x % 32;
    for (u32 j = 0; j < 4; ++j)
        for (u32 k = 0; k < DEPTH; ++k) {
            u32 row = lane / 4, column = lane % 4 * 2 + j % 2, part = k / each % 4, far = k / each / 4;
            float a = number(all[row * 4 + part].a[j / 2 + 2 * far], k % each);
            c[j] += a * number(all[column * 4 + part].b[far], k % each);
        }
#endif
}

#define TILES 8

template <u32 DEPTH>
DEVICE void products(u32 rounds, int* out) {
    Operands plain = operands<DEPTH>(false), undone = operands<DEPTH>(true);
    float c[TILES][4];
    _Pragma("unroll") for (u32 t = 0; t < TILES; ++t) {
        _Pragma("unroll") for (u32 j = 0; j < 4; ++j) c[t][j] = (float)t;
    }
    _Pragma("unroll 1") for (u32 i = 0; i < rounds; ++i) {
        _Pragma("unroll") for (u32 t = 0; t < TILES; ++t) multiply<DEPTH>(c[t], plain);
        _Pragma("unroll") for (u32 t = 0; t < TILES; ++t) multiply<DEPTH>(c[t], undone);
    }
    u32 thread = blockIdx.x * blockDim.x + threadIdx.x;
    int sums[4] = {0, 0, 0, 0};
    _Pragma("unroll") for (u32 t = 0; t < TILES; ++t) {
        multiply<DEPTH>(c[t], plain);
        _Pragma("unroll") for (u32 j = 0; j < 4; ++j) sums[j] += (int)c[t][j];
    }
    for (u32 j = 0; j < 4; ++j) out[thread * 4 + j] = sums[j];
}

KERNEL __launch_bounds__(256) mma_tf32(u32 rounds, int* out) { products<8>(rounds, out); }
KERNEL __launch_bounds__(256) mma_bf16(u32 rounds, int* out) { products<16>(rounds, out); }
