"""Tests of the engine for machine code: results, cycles and faults of small kernels. Needs NVRTC, nvdisasm, g++."""

import json
import math
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
from pathlib import Path

import driver as cuda
import prediction
import programs

M32 = 0xFFFFFFFF
M64 = 0xFFFFFFFFFFFFFFFF
N = 256  # threads
POISON = 0x7FC0DEAD


def s32(x):
    return (x & M32) - (1 << 32) if x & 0x80000000 else x & M32


def s64(x):
    x &= M64
    return x - (1 << 64) if x >> 63 else x


def f32(x):
    """Rounded to single precision."""
    try:
        return struct.unpack("<f", struct.pack("<f", x))[0]
    except OverflowError:
        return math.copysign(math.inf, x)


def bits(x):
    return struct.unpack("<I", struct.pack("<f", x))[0]


def quotient(a, b):
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def permuted(x, y, selector):
    data = x | y << 32
    return sum((data >> 8 * (selector >> 4 * k & 7) & 255) << 8 * k for k in range(4))


# Expressions of words x, y, z (unsigned), s, t, q (the same, signed), p = x:y and r = z:x (of 64 bits), and their values.
INTEGERS = [
    ("x + y + z", lambda x, y, z: x + y + z),
    ("x - y", lambda x, y, z: x - y),
    ("x * y + z", lambda x, y, z: x * y + z),
    ("__umulhi(x, y)", lambda x, y, z: x * y >> 32),
    ("__mulhi(s, t)", lambda x, y, z: s32(x) * s32(y) >> 32),
    ("min(s, t)", lambda x, y, z: min(s32(x), s32(y))),
    ("max(x, y)", lambda x, y, z: max(x, y)),
    ("abs(s)", lambda x, y, z: abs(s32(x))),
    ("x << (y & 31)", lambda x, y, z: x << (y & 31)),
    ("x >> (y & 31)", lambda x, y, z: x >> (y & 31)),
    ("s >> (y & 31)", lambda x, y, z: s32(x) >> (y & 31)),
    ("__funnelshift_l(x, y, z)", lambda x, y, z: (x | y << 32) << (z & 31) >> 32),
    ("__funnelshift_r(x, y, z)", lambda x, y, z: (x | y << 32) >> (z & 31)),
    ("__funnelshift_lc(x, y, z)", lambda x, y, z: (x | y << 32) << min(z, 32) >> 32),
    ("__funnelshift_rc(x, y, z)", lambda x, y, z: (x | y << 32) >> min(z, 32)),
    ("__byte_perm(x, y, z & 0x7777)", lambda x, y, z: permuted(x, y, z & 0x7777)),
    ("__brev(x)", lambda x, y, z: int(f"{x:032b}"[::-1], 2)),
    ("__clz(x)", lambda x, y, z: 32 - x.bit_length()),
    ("__ffs(x)", lambda x, y, z: (x & -x).bit_length()),
    ("__popc(x)", lambda x, y, z: x.bit_count()),
    ("x / (y | 1)", lambda x, y, z: x // (y | 1)),
    ("x % (y | 1)", lambda x, y, z: x % (y | 1)),
    ("s / (t | 1)", lambda x, y, z: quotient(s32(x), s32(y | 1))),
    ("s % (t | 1)", lambda x, y, z: s32(x) - quotient(s32(x), s32(y | 1)) * s32(y | 1)),
    ("p + r", lambda x, y, z: y + x),
    ("(p + r) >> 32", lambda x, y, z: ((x << 32 | y) + (z << 32 | x)) >> 32),
    ("(p - r) >> 32", lambda x, y, z: ((x << 32 | y) - (z << 32 | x)) >> 32),
    ("p * r >> 32", lambda x, y, z: ((x << 32 | y) * (z << 32 | x)) >> 32),
    ("(p << (z & 63)) >> 32", lambda x, y, z: (x << 32 | y) << (z & 63) >> 32),
    ("(i64)p >> (z & 63)", lambda x, y, z: s64(x << 32 | y) >> (z & 63)),
    ("(i64)p >> (z & 63) >> 32", lambda x, y, z: s64(x << 32 | y) >> (z & 63) >> 32),
    ("p < r", lambda x, y, z: (x << 32 | y) < (z << 32 | x)),
    ("(i64)p < (i64)r", lambda x, y, z: s64(x << 32 | y) < s64(z << 32 | x)),
    ("(i64)p >= (i64)r", lambda x, y, z: s64(x << 32 | y) >= s64(z << 32 | x)),
    ("p == ((u64)z << 32 | y)", lambda x, y, z: x == z),
    ("p / (r | 1)", lambda x, y, z: (x << 32 | y) // (z << 32 | x | 1)),
    ("p / (y | 1) >> 32", lambda x, y, z: (x << 32 | y) // (y | 1) >> 32),
    ("(x & y) | (~x & z)", lambda x, y, z: (x & y) | (~x & z)),
    ("x ^ y ^ z", lambda x, y, z: x ^ y ^ z),
    ("(x >> 5) & 0x3ff", lambda x, y, z: x >> 5 & 0x3FF),
    ("(s << 7) >> 20", lambda x, y, z: s32(x << 7) >> 20),
    ("max(s + t, q)", lambda x, y, z: max(s32(x + y), s32(z))),
    ("min(x + y, z)", lambda x, y, z: min((x + y) & M32, z)),
    ("max(max(s, t), 0)", lambda x, y, z: max(s32(x), s32(y), 0)),
    ("s > 0 ? t : q", lambda x, y, z: y if s32(x) > 0 else z),
    ("__popcll(p)", lambda x, y, z: x.bit_count() + y.bit_count()),
    ("__clzll(p)", lambda x, y, z: 64 - (x << 32 | y).bit_length()),
    ("(short)x", lambda x, y, z: (x & 0xFFFF) - (x & 0x8000) * 2),
    ("(signed char)y", lambda x, y, z: (y & 0xFF) - (y & 0x80) * 2),
    ("__float_as_uint((float)s)", lambda x, y, z: bits(float(s32(x)))),
    ("__float_as_uint((float)x)", lambda x, y, z: bits(float(x))),
    ("__float_as_uint((float)(i64)p)", lambda x, y, z: bits(from_integer(s64(x << 32 | y)))),
    ("(u32)(int)(double)s", lambda x, y, z: x),
]


def from_integer(n):
    """A large integer rounded once to single precision."""
    down = max(0, abs(n).bit_length() - 24)
    low, half = abs(n) & ((1 << down) - 1), 1 << down >> 1
    kept = abs(n) >> down
    if down and (low > half or (low == half and kept & 1)):
        kept += 1
    return math.copysign(math.ldexp(kept, down), n)


def clamped(x, low, high):
    return 0 if math.isnan(x) else int(min(max(x, low), high))


# Expressions of floats x, y, z, their values, and the largest error in units of the last place.
FLOATS = [
    ("x + y", lambda x, y, z: f32(x + y), 0),
    ("x * y", lambda x, y, z: f32(x * y), 0),
    ("x / y", lambda x, y, z: f32(x / y), 0),
    ("sqrtf(fabsf(x))", lambda x, y, z: f32(math.sqrt(abs(x))), 0),
    ("rsqrtf(fabsf(x))", lambda x, y, z: f32(1 / math.sqrt(abs(x))), 2),
    ("1.0f / x", lambda x, y, z: f32(1 / x), 0),
    ("fminf(x, y)", lambda x, y, z: min(x, y), 0),
    ("fmaxf(x, y)", lambda x, y, z: max(x, y), 0),
    ("-fabsf(x)", lambda x, y, z: -abs(x), 0),
    ("floorf(x)", lambda x, y, z: float(math.floor(x)), 0),
    ("ceilf(x)", lambda x, y, z: float(math.ceil(x)), 0),
    ("truncf(x)", lambda x, y, z: float(math.trunc(x)), 0),
    ("rintf(x)", lambda x, y, z: float(round(x)), 0),
    ("expf(z)", lambda x, y, z: f32(math.exp(z)), 2),
    ("logf(fabsf(x))", lambda x, y, z: f32(math.log(abs(x))), 3),
    ("exp2f(z)", lambda x, y, z: f32(2.0**z), 2),
    ("tanhf(z)", lambda x, y, z: f32(math.tanh(z)), 3),
    ("powf(fabsf(x), z)", lambda x, y, z: f32(abs(x) ** z), 5),
    ("__saturatef(z)", lambda x, y, z: min(max(z, 0.0), 1.0), 0),
    ("x < y ? z : x", lambda x, y, z: z if x < y else x, 0),
    ("copysignf(x, z)", lambda x, y, z: math.copysign(x, z), 0),
    ("(double)x * y + (double)z", lambda x, y, z: f32(x * y + z), 0),
    ("(double)x / y", lambda x, y, z: f32(x / y), 0),
    ("sqrt((double)fabsf(x))", lambda x, y, z: f32(math.sqrt(abs(x))), 0),
    ("floor((double)x)", lambda x, y, z: float(math.floor(x)), 0),
    ("__float2int_rz(x)", lambda x, y, z: f32(float(int(x))), 0),
    ("__float2int_rn(x)", lambda x, y, z: f32(float(round(x))), 0),
    ("__float2uint_rd(x)", lambda x, y, z: f32(float(max(math.floor(x), 0))), 0),
    ("(float)__float2ll_rz(x * 1e9f)", lambda x, y, z: from_integer(int(f32(x * 1e9))), 0),
    ("__double2int_rn((double)x)", lambda x, y, z: float(round(x)), 0),
    ("__fadd_rd(x, y) <= x + y && __fadd_ru(x, y) >= x + y", lambda x, y, z: 1.0, 0),
    ("__fmul_rz(x, y) == x * y || fabsf(__fmul_rz(x, y)) < fabsf(x * y)", lambda x, y, z: 1.0, 0),
    ("fmaf(x, y, -x * y) == (float)((double)x * y - (double)(x * y))", lambda x, y, z: 1.0, 0),
]

TYPES = "typedef unsigned int u32; typedef unsigned long long u64; typedef long long i64;\n"
KERNELS = (
    TYPES
    + 'extern "C" __global__ void integers(const u32* a, u32* out) {\n'
    + f"const int n = {N}, i = threadIdx.x; const u32 x = a[i], y = a[n + i], z = a[2 * n + i]; const int s = x, t = y, q = z;\n"
    + "const u64 p = (u64)x << 32 | y, r = (u64)z << 32 | x;\n"
    + "".join(f"out[{k} * n + i] = (u32)({e[0]});\n" for k, e in enumerate(INTEGERS))
    + '}\nextern "C" __global__ void floats(const float* a, float* out) {\n'
    + f"const int n = {N}, i = threadIdx.x; const float x = a[i], y = a[n + i], z = a[2 * n + i];\n"
    + "".join(f"out[{k} * n + i] = (float)({e[0]});\n" for k, e in enumerate(FLOATS))
    + r"""}
#define OUT(e) out[n * k++ + threadIdx.x] = (u32)(e)
extern "C" __global__ void warps(const u32* a, u32* out) {
    const u32 l = threadIdx.x & 31, x = a[threadIdx.x];
    const int n = blockDim.x;
    int k = 0, all;
    OUT(__shfl_sync(~0u, x, 5)); OUT(__shfl_sync(~0u, x, l * 7 & 31)); OUT(__shfl_up_sync(~0u, x, 3));
    OUT(__shfl_down_sync(~0u, x, 5)); OUT(__shfl_xor_sync(~0u, x, 9)); OUT(__shfl_up_sync(~0u, x, 1, 16));
    OUT(__shfl_down_sync(~0u, x, 1, 4)); OUT(__shfl_sync(~0u, x, 9, 8));
    OUT(__ballot_sync(~0u, x & 1)); OUT(__any_sync(~0u, x == a[3])); OUT(__all_sync(~0u, x != a[3]));
    OUT(__match_any_sync(~0u, x & 3)); OUT(__match_all_sync(~0u, l >> 5, &all)); OUT(all);
    OUT(__reduce_add_sync(~0u, x)); OUT(__reduce_min_sync(~0u, x)); OUT(__reduce_max_sync(~0u, (int)x));
    OUT(__reduce_and_sync(~0u, x)); OUT(__reduce_or_sync(~0u, x)); OUT(__reduce_xor_sync(~0u, x));
    if (l < 13) { OUT(__ballot_sync(0x1fff, x & 2)); OUT(__shfl_sync(0x1fff, x, 12)); OUT(__activemask()); } else { k += 3; }
    OUT(__syncthreads_count(x & 1)); OUT(__syncthreads_or(x == a[3])); OUT(__syncthreads_and(x != a[3]));
}
extern "C" __global__ void atomics(u32* g, float* f, u64* w) {
    __shared__ u32 s[8];
    const u32 t = threadIdx.x;
    if (t < 8) s[t] = 0;
    __syncthreads();
    atomicAdd(g, 1); atomicAdd(g + 1, t); atomicMax(g + 2, t); atomicMin((int*)g + 3, -(int)t);
    if (t == 7) atomicExch(g + 4, t);
    atomicCAS(g + 5, 0, 9); atomicAnd(g + 6, ~(1u << (t & 15))); atomicOr(g + 7, 1u << (t & 31)); atomicXor(g + 8, t * 2654435761u);
    atomicInc(g + 9, 5); atomicDec(g + 10, 7); atomicAdd(f, 0.5f); atomicAdd(w, 1ull << 33); atomicMax(w + 1, (u64)t << 34);
    atomicAdd(s, 1); atomicMax(s + 1, t); atomicOr(s + 2, 1u << (t & 31)); atomicMin((int*)s + 3, -(int)t);
    u32 before;
    asm volatile("atom.add.acq_rel.gpu.u32 %0, [%1], %2;" : "=r"(before) : "l"(g + 11), "r"(2) : "memory");
    asm volatile("red.release.gpu.add.u32 [%0], %1;" ::"l"(g + 12), "r"(3) : "memory");
    asm volatile("ld.acquire.gpu.u32 %0, [%1];" : "=r"(before) : "l"(g + 12) : "memory");
    if (t == 0) asm volatile("st.release.gpu.u32 [%0], %1;" ::"l"(g + 13), "r"(77) : "memory");
    asm volatile("fence.acq_rel.gpu;" ::: "memory");
    __threadfence(); __threadfence_block(); __threadfence_system();
    if (t == 0) atomicCAS(w + 2, 0ull, 5ull << 40);
    __syncthreads();
    if (t < 4) g[16 + t] = s[t];
}
extern "C" __global__ void copies(const float4* a, float* out, int bytes, int wait) {
    extern __shared__ float shared[];
    const u32 base = (u32)__cvta_generic_to_shared(shared);
    const int t = threadIdx.x;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(base + t * 16), "l"(a + t));
    asm volatile("cp.async.commit_group;");
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(base + 4096 + t * 4), "l"((const float*)a + t));
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8;" ::"r"(base + 5120 + t * 8), "l"((const float2*)a + t));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(base + 8192 + t * 16), "l"(a + t), "r"(bytes));
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(base + 12288 + t * 4), "l"((const float*)a + t),
                 "r"((t & 1) * 4));
    asm volatile("cp.async.commit_group;");
    if (wait) asm volatile("cp.async.wait_group 1;"); 
    __syncthreads();
    out[t] = shared[(t ^ 1) * 4 + 1];
    out[256 + t] = shared[1024 + t];
    asm volatile("cp.async.wait_all;");
    __syncthreads();
    out[512 + t] = shared[1024 + (t ^ 1)];
    out[768 + t] = shared[1280 + (t ^ 1) * 2 + 1];
    for (int k = 0; k < 4; k++) out[1024 + 256 * k + t] = shared[2048 + (t ^ 1) * 4 + k];
    out[2048 + t] = shared[3072 + (t ^ 1)];
}
__device__ __noinline__ float horner(float x, int n) { float s = 0; for (int i = 0; i < n; i++) s = s * x + i; return s; }
__device__ __noinline__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
extern "C" __global__ void calls(const int* a, int* out, int n) {
    out[threadIdx.x] = (int)horner(2.0f, a[threadIdx.x] & 7) * 1000 + (int)horner(1.0f, n);
    out[256 + threadIdx.x] = fibonacci(threadIdx.x % 10);
}
extern "C" __global__ void stack(const int* a, int* out) {
    int local[16], sum = 0;
    for (int i = 0; i < 16; i++) local[i] = a[threadIdx.x] + i;
    for (int i = 0; i < 16; i++) local[a[i] & 15] += i;
    for (int i = 0; i < 16; i++) sum = sum * 3 + local[a[i + 1] & 15];
    out[threadIdx.x] = sum;
}
extern "C" __global__ void bytes(const unsigned char* a, const short* b, unsigned char* c, double2* e) {
    __shared__ unsigned short q[256];
    __shared__ double2 z[256];
    const int t = threadIdx.x;
    q[t] = b[255 - t];
    z[t] = e[t];
    __syncthreads();
    c[t] = a[t] + b[t] + q[t ^ 3];
    e[t].x += z[t ^ 5].y;
}
extern "C" __global__ void branches(const int* a, int* out) {
    int v = a[threadIdx.x];
    switch (v & 7) {
    case 0: v *= 3; break;
    case 1: v = v / 7; break;
    case 2: v = v * v; break;
    case 3: v ^= 0x55; break;
    case 4: v = __popc(v); break;
    case 5: v = -v; break;
    default: v = 1;
    }
    for (int i = 0; i < (threadIdx.x & 15); i++) {
        if ((v & 15) == 5) break;
        if ((v + i) % 3 == 0) continue;
        v += a[i] & 7;
    }
    out[threadIdx.x] = v;
}
extern "C" __global__ void named(const int* a, int* out) {
    __shared__ int s[256];
    const int t = threadIdx.x;
    if (t < 128) {
        s[t] = a[t];
        asm volatile("bar.sync 1, 128;" ::: "memory");
        out[t] = s[t ^ 96];
        asm volatile("bar.arrive 2, 256;" ::: "memory");
    } else {
        asm volatile("bar.sync 2, 256;" ::: "memory");
        out[t] = s[255 - t];
    }
}
extern "C" __global__ void flags(u32* g, u32* out) {
    // Block b waits for block b - 1.
    if (threadIdx.x == 0) {
        u32 seen = 0;
        while (seen < blockIdx.x) asm volatile("ld.acquire.gpu.u32 %0, [%1];" : "=r"(seen) : "l"(g) : "memory");
        out[blockIdx.x] = seen;
        asm volatile("st.release.gpu.u32 [%0], %1;" ::"l"(g), "r"(seen + 1) : "memory");
    }
}
extern "C" __global__ void outside(float* p, int n) { p[threadIdx.x + n] = 1.0f; }
extern "C" __global__ void crooked(char* p) { *(float*)(p + 2) = 1.0f; }
extern "C" __global__ void beyond(float* p, int n) { __shared__ float s[32]; s[threadIdx.x + n] = 1; __syncthreads(); p[threadIdx.x] = s[0]; }
// mode 0 is right; the others read, write or end before the launch before has ended.
extern "C" __global__ void early(const float* weights, float* p, int mode) {
    const volatile float* q = p;
    float x = weights[threadIdx.x];
    if (mode == 1) x += q[threadIdx.x];
    if (mode == 2) p[threadIdx.x] = 7;
    if (mode == 3 && threadIdx.x == 5) return;
    asm volatile("griddepcontrol.wait;" ::: "memory");
    asm volatile("griddepcontrol.launch_dependents;");
    p[threadIdx.x] = x + q[threadIdx.x];
}
extern "C" __global__ void stuck(float* p) { if (threadIdx.x < 32) asm volatile("bar.sync 1, 64;" ::: "memory"); p[threadIdx.x] = 1; }
"""
)

# Kernels whose cycles are counted by hand: each repeats something COUNT times.
TIMED = (
    TYPES
    + r"""
#define REPEAT _Pragma("unroll") for (int k = 0; k < COUNT; k++)
extern "C" __global__ void chain(float* p) { float x = p[0], y = p[1]; REPEAT x = fmaf(x, y, y); p[2] = x; }
extern "C" __global__ void shared_chain(int* p) {
    __shared__ int s[256];
    s[threadIdx.x] = p[threadIdx.x];
    __syncthreads();
    int at = threadIdx.x;
    REPEAT at = s[at];
    p[threadIdx.x] = at;
}
extern "C" __global__ void global_chain(u64* p) { u64* at = p; REPEAT at = (u64*)*(volatile u64*)at; p[1] = (u64)at; }
extern "C" __global__ void cached_chain(const u64* __restrict__ p, u64* q) {
    const u64* at = p;
    REPEAT at = (const u64*)*at;
    *q = (u64)at;
}
extern "C" __global__ void barriers(float* p) { REPEAT __syncthreads(); p[threadIdx.x] = 1; }
extern "C" __global__ void conflicts(float* p) {
    extern __shared__ float s[];
    float x[COUNT];
    REPEAT x[k] = ((volatile float*)s)[threadIdx.x * STRIDE + 32 * k];
    float sum = 0;
    REPEAT sum += x[k];
    p[threadIdx.x] = sum;
}
extern "C" __global__ void shuffles(int* p) { int x = p[threadIdx.x]; REPEAT x = __shfl_xor_sync(~0u, x, 1); p[threadIdx.x] = x; }
extern "C" __global__ void fences(int* p) { REPEAT __threadfence(); p[threadIdx.x] = 1; }
extern "C" __global__ void divergent(float* p) {
    float x = p[threadIdx.x], y = p[32 + threadIdx.x];
    if (threadIdx.x < SPLIT) { REPEAT x = fmaf(x, y, y); p[64 + threadIdx.x] = x; }
    else { REPEAT x = fmaf(x, x, y); p[96 + threadIdx.x] = x; }
}
extern "C" __global__ void async(const float4* a, float* p) {
    extern __shared__ float s[];
    const u32 base = (u32)__cvta_generic_to_shared(s);
    REPEAT {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(base + threadIdx.x * 16), "l"(a + threadIdx.x + 32 * k));
        asm volatile("cp.async.wait_all;" ::: "memory");
    }
    p[threadIdx.x] = s[threadIdx.x];
}
"""
)


class OnDevice(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.driver = cuda.Driver()
        cls.nvrtc = os.environ["MSDCAM_NVRTC"]
        cls.report = Path(os.environ["STANDIN_SM90_REPORT"])

    def setUp(self):
        self.driver.reset()

    def compiled(self, source):
        return self.driver.load(cuda.compile_kernels(self.nvrtc, source))

    def run_kernel(self, module, name, threads, *arguments, blocks=1, **more):
        """Runs it; returns its record in the report."""
        self.driver.launch(self.driver.function(module, name), blocks, threads, *arguments, **more)
        return json.loads(self.report.read_text().splitlines()[-1])


class Results(OnDevice):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.module = cls.driver.load(cuda.compile_kernels(cls.nvrtc, KERNELS))
        cls.random = random.Random(1)

    def words(self, count):
        edges = [0, 1, 2, 31, 32, 33, 0x7FFFFFFF, 0x80000000, 0x80000001, M32, 0xFFFFFFFE]
        return [self.random.choice(edges) if self.random.random() < 0.3 else self.random.getrandbits(32) for _ in range(count)]

    def upload(self, words):
        return self.driver.upload(struct.pack(f"<{len(words)}I", *words))

    def test_integers(self):
        a = self.words(3 * N)
        out = self.driver.allocate(4 * N * len(INTEGERS))
        self.run_kernel(self.module, "integers", N, self.upload(a), out)
        got = cuda.words(self.driver.download(out, 4 * N * len(INTEGERS)))
        for k, (text, value) in enumerate(INTEGERS):
            for i in range(N):
                x, y, z = a[i], a[N + i], a[2 * N + i]
                self.assertEqual(got[k * N + i], value(x, y, z) & M32, f"{text} of {x:#x}, {y:#x}, {z:#x}")

    def test_floats(self):
        r = self.random
        a = [f32(r.uniform(-1, 1) * 10 ** r.uniform(-3, 3)) for _ in range(2 * N)] + [f32(r.uniform(-4, 4)) for _ in range(N)]
        out = self.driver.allocate(4 * N * len(FLOATS))
        self.run_kernel(self.module, "floats", N, self.driver.upload(struct.pack(f"<{3 * N}f", *a)), out)
        got = cuda.floats(self.driver.download(out, 4 * N * len(FLOATS)))
        for k, (text, value, places) in enumerate(FLOATS):
            for i in range(N):
                x, y, z = a[i], a[N + i], a[2 * N + i]
                want = value(x, y, z)
                message = f"{text} of {x}, {y}, {z}"
                self.assertLessEqual(abs(got[k * N + i] - want), places * math.ulp(want) * 2**29, message)

    def test_warps(self):
        a = self.words(64)
        out = self.driver.allocate(4 * 64 * 26)
        self.run_kernel(self.module, "warps", 64, self.upload(a), out)
        got = cuda.words(self.driver.download(out, 4 * 64 * 26))
        odd = sum(x & 1 for x in a)
        for t in range(64):
            lane, w = t % 32, a[t - t % 32 :][:32]
            x = w[lane]
            ballot = sum((v & 1) << k for k, v in enumerate(w))
            want = [
                w[5], w[lane * 7 & 31], w[lane - 3] if lane >= 3 else x, w[lane + 5] if lane + 5 < 32 else x, w[lane ^ 9],
                w[lane - 1] if lane % 16 else x, w[lane + 1] if lane % 4 < 3 else x, w[(lane & ~7) + 1],
                ballot, a[3] in w, a[3] not in w,
                sum((v & 3 == x & 3) << k for k, v in enumerate(w)), M32, 1,
                sum(w) & M32, min(w), max(map(s32, w)) & M32,
            ]  # fmt: skip
            for function in (int.__and__, int.__or__, int.__xor__):
                value = w[0]
                for v in w[1:]:
                    value = function(value, v)
                want.append(value)
            some = sum((v >> 1 & 1) << k for k, v in enumerate(w[:13]))
            want += [some, w[12], 0x1FFF] if lane < 13 else [POISON] * 3
            want += [odd, 1, 0]
            self.assertEqual([got[k * 64 + t] for k in range(26)], [int(v) for v in want], f"thread {t}")

    def test_atomics(self):
        g, f, w = self.upload([0] * 32), self.upload([0]), self.upload([0] * 8)
        self.driver.cuda.cuMemsetD32_v2(ctypes_u64(g.value + 24), M32, 1)
        self.run_kernel(self.module, "atomics", N, g, f, w)
        got = cuda.words(self.driver.download(g, 80))
        mixed = 0
        for t in range(N):
            mixed ^= t * 2654435761 & M32
        self.assertEqual(got[:9], [N, sum(range(N)), N - 1, -(N - 1) & M32, 7, 9, 0xFFFF0000, M32, mixed])
        self.assertEqual(got[9:14], [N % 6, (-N) % 8, 2 * N, 3 * N, 77])
        self.assertEqual(got[16:], [N, N - 1, M32, -(N - 1) & M32])
        self.assertEqual(cuda.floats(self.driver.download(f, 4)), [N / 2])
        self.assertEqual(list(struct.unpack("<3Q", self.driver.download(w, 24))), [N << 33, (N - 1) << 34, 5 << 40])

    def copies(self, count, wait):
        a = [float(k) for k in range(4 * N)]
        out = self.driver.allocate(4 * 9 * N)
        data = self.driver.upload(struct.pack(f"<{4 * N}f", *a))
        self.run_kernel(self.module, "copies", N, data, out, count, wait, shared=13312)
        raw = self.driver.download(out, 4 * 9 * N)
        return cuda.words(raw), cuda.floats(raw)

    def test_asynchronous_copies(self):
        for count in (16, 8, 4, 0):
            got_words, got = self.copies(count, 1)
            for t in range(N):
                self.assertEqual(got[t], 4 * (t ^ 1) + 1)
                self.assertEqual(got_words[N + t], POISON, "not waited for")
                self.assertEqual(got[2 * N + t], t ^ 1)
                self.assertEqual(got[3 * N + t], (t ^ 1) * 2 + 1)
                for k in range(4):
                    self.assertEqual(got[(4 + k) * N + t], 4 * (t ^ 1) + k if 4 * k < count else 0)
                self.assertEqual(got[8 * N + t], t ^ 1 if (t ^ 1) & 1 else 0)

    def test_a_missing_wait_reads_poison(self):
        got, _ = self.copies(16, 0)
        self.assertEqual(got[0], POISON)

    def test_calls_and_stack(self):
        a = self.words(N)
        out = self.driver.allocate(8 * N)
        self.run_kernel(self.module, "calls", N, self.upload(a), out, 5)
        got = cuda.words(self.driver.download(out, 8 * N))

        def horner(x, n):
            s = 0
            for i in range(n):
                s = s * x + i
            return s

        fibonacci = [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]
        for t in range(N):
            self.assertEqual(got[t], horner(2, a[t] & 7) * 1000 + 10)
            self.assertEqual(got[N + t], fibonacci[t % 10])
        self.run_kernel(self.module, "stack", N, self.upload(a), out)
        got = cuda.words(self.driver.download(out, 4 * N))
        for t in range(N):
            local, total = [a[t] + i for i in range(16)], 0
            for i in range(16):
                local[a[i] & 15] += i
            for i in range(16):
                total = total * 3 + local[a[i + 1] & 15]
            self.assertEqual(got[t], total & M32)

    def test_bytes_and_doubles(self):
        r = self.random
        a, b = [r.getrandbits(8) for _ in range(N)], [r.randrange(-32768, 32768) for _ in range(N)]
        e = [r.uniform(-9, 9) for _ in range(2 * N)]
        out, doubles = self.driver.allocate(N), self.driver.upload(struct.pack(f"<{2 * N}d", *e))
        shorts = self.driver.upload(struct.pack(f"<{N}h", *b))
        self.run_kernel(self.module, "bytes", N, self.driver.upload(bytes(a)), shorts, out, doubles)
        got, sums = self.driver.download(out, N), struct.unpack(f"<{2 * N}d", self.driver.download(doubles, 16 * N))
        for t in range(N):
            self.assertEqual(got[t], (a[t] + b[t] + b[255 - (t ^ 3)]) & 255)
            self.assertEqual(sums[2 * t], e[2 * t] + e[2 * (t ^ 5) + 1])

    def test_branches(self):
        a = [self.random.getrandbits(31) for _ in range(N)]
        out = self.driver.allocate(4 * N)
        self.run_kernel(self.module, "branches", N, self.upload(a), out)
        for t, got in enumerate(cuda.words(self.driver.download(out, 4 * N))):
            v = a[t]
            kinds = [v * 3, v // 7, v * v, v ^ 0x55, v.bit_count(), -v, 1, 1]
            v = s32(kinds[v & 7])
            for i in range(t & 15):
                if v & 15 == 5:
                    break
                if math.fmod(s32(v + i), 3) == 0:
                    continue
                v = s32(v + (a[i] & 7))
            self.assertEqual(got, v & M32, f"thread {t}: {a[t]}")

    def test_named_barriers(self):
        a = self.words(N)
        out = self.driver.allocate(4 * N)
        self.run_kernel(self.module, "named", N, self.upload(a), out)
        got = cuda.words(self.driver.download(out, 4 * N))
        self.assertEqual(got, [a[t ^ 96] if t < 128 else a[255 - t] for t in range(N)])

    def test_blocks_that_wait_for_each_other(self):
        flag, out = self.upload([0]), self.driver.allocate(4 * 140)
        record = self.run_kernel(self.module, "flags", 32, flag, out, blocks=140, cooperative=True)
        self.assertEqual(cuda.words(self.driver.download(out, 4 * 140)), list(range(140)))
        # Each hop is at least a load from the second-level cache.
        self.assertGreater(record["cycles"], 140 * LATENCY["global_l2"])

    def fault(self, name, threads, *arguments):
        read, write = os.pipe()
        saved = os.dup(2)
        os.dup2(write, 2)
        try:
            with self.assertRaises(cuda.CudaError) as caught:
                self.run_kernel(self.module, name, threads, *arguments)
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(write)
        text = os.read(read, 4096).decode()
        os.close(read)
        self.driver.reset()
        return str(caught.exception), text

    def test_faults_name_their_place(self):
        line = next(k for k, text in enumerate(KERNELS.splitlines(), 1) if "void outside" in text)
        p = self.driver.allocate(4 * 32)
        error, text = self.fault("outside", 32, p, 5)
        self.assertIn("700", error)
        self.assertRegex(text, r"kernel outside: block \(0,0,0\) thread \(27,0,0\): instruction 0x\w+ \(STG.*"
                         rf"test\.cu:{line}\): illegal access to 4 bytes")  # fmt: skip
        error, text = self.fault("crooked", 1, p)
        self.assertIn("716", error)
        self.assertIn("misaligned access to 4 bytes", text)
        _, text = self.fault("beyond", 32, p, 4)
        self.assertRegex(text, r"thread \(28,0,0\): .*illegal access to 4 bytes of shared memory at 0x80 of 0x80")
        _, text = self.fault("stuck", 33, self.driver.allocate(4 * 33))
        self.assertRegex(text, r"block \(0,0,0\) warp 0: instruction 0x\w+ \(.*BAR.SYNC.*\) waits for ever")

    def test_the_end_of_the_launch_before_is_waited_for(self):
        for mode, words in enumerate([None, "reads memory that kernels write before", "writes memory before", "ends without"]):
            weights, p = self.driver.upload(struct.pack("<32f", *range(32))), self.driver.upload(struct.pack("<32f", *[1] * 32))
            # The first launch makes p memory that kernels write.
            self.run_kernel(self.module, "early", 32, weights, p, 0)
            if words:
                _, text = self.fault("early", 32, weights, p, mode)
                self.assertRegex(text, rf"{words} griddepcontrol\.wait")
            else:
                self.run_kernel(self.module, "early", 32, weights, p, mode)
                self.assertEqual(cuda.floats(self.driver.download(p, 128)), [2.0 * k + 1 for k in range(32)])

    def test_an_unknown_instruction_is_named(self):
        source = 'extern "C" __global__ void f(int* p) { p[0] = __dp4a(p[0], p[1], p[2]); }'
        read, write = os.pipe()
        saved = os.dup(2)
        os.dup2(write, 2)
        try:
            self.assertRaises(cuda.CudaError, self.compiled, source)
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(write)
        self.assertRegex(os.read(read, 4096).decode(), r"instruction IDP\S* .* at 0x\w+ of \.text\.f: it is not known")
        os.close(read)


def ctypes_u64(x):
    return cuda.ctypes.c_uint64(x)


LATENCY = prediction.latencies()


class Cycles(OnDevice):
    """Cycles of one repetition, from the difference of two numbers of repetitions."""

    def each(self, name, threads, *arguments, stride=1, split=32, counts=(8, 24), shared=0):
        cycles = []
        for count in counts:
            defines = f"#define COUNT {count}\n#define STRIDE {stride}\n#define SPLIT {split}\n"
            record = self.run_kernel(self.compiled(defines + TIMED), name, threads, *arguments, shared=shared)
            cycles.append(record["cycles"])
        return (cycles[1] - cycles[0]) / (counts[1] - counts[0])

    def zeros(self, count=4096):
        return self.driver.upload(bytes(4 * count))

    def test_dependent_ffma(self):
        self.assertEqual(self.each("chain", 1, self.zeros()), 4)

    def test_load_from_shared_memory_to_use(self):
        # An address is computed between two loads: 4 or 5 cycles, or 6 for both.
        steps = self.each("shared_chain", 32, self.driver.upload(struct.pack("<32I", *range(32))))
        self.assertGreaterEqual(steps, LATENCY["shared"])
        self.assertLessEqual(steps, LATENCY["shared"] + 12)

    def test_load_from_global_memory_to_use(self):
        p = self.driver.allocate(64)
        self.driver.cuda.cuMemcpyHtoD_v2(p, struct.pack("<Q", p.value), cuda.ctypes.c_size_t(8))
        strong = self.each("global_chain", 1, p)
        cached = self.each("cached_chain", 1, p, self.zeros())
        self.assertGreaterEqual(strong, LATENCY["global_l2"])
        self.assertLessEqual(strong, LATENCY["global_l2"] + 6)
        self.assertGreaterEqual(cached, LATENCY["global_l1"])
        self.assertLessEqual(cached, LATENCY["global_l1"] + 6)

    def test_barrier(self):
        # All warps arrive within as many cycles as a scheduler has warps.
        steps = self.each("barriers", 256, self.zeros())
        self.assertGreaterEqual(steps, LATENCY["barrier"])
        self.assertLessEqual(steps, LATENCY["barrier"] + 8)

    def test_bank_conflicts(self):
        free = self.each("conflicts", 32, self.zeros(), shared=16384)
        two = self.each("conflicts", 32, self.zeros(), stride=2, shared=16384)
        all_in_one = self.each("conflicts", 32, self.zeros(), stride=32, shared=16384)
        self.assertAlmostEqual(two, free, delta=0.1)  # hidden behind the addition
        self.assertAlmostEqual(all_in_one, 32, delta=1)

    def test_shuffle(self):
        steps = self.each("shuffles", 32, self.zeros())
        self.assertGreaterEqual(steps, LATENCY["shuffle"])
        self.assertLessEqual(steps, LATENCY["shuffle"] + 4)

    def test_fence(self):
        steps = self.each("fences", 32, self.zeros())
        self.assertGreaterEqual(steps, LATENCY["fence_sc"])
        self.assertLessEqual(steps, LATENCY["fence_sc"] + 60)

    def test_both_sides_of_a_divergent_branch_take_their_time(self):
        one_side = self.each("divergent", 32, self.zeros(), split=32, counts=(16, 48))
        both = self.each("divergent", 32, self.zeros(), split=16, counts=(16, 48))
        self.assertEqual((one_side, both), (4, 8))

    def test_asynchronous_copy_and_wait(self):
        steps = self.each("async", 32, self.zeros(), self.zeros(), shared=4096)
        self.assertGreaterEqual(steps, LATENCY["global_l2"])
        self.assertLessEqual(steps, LATENCY["global_l2"] + 60)

    def test_blocks_share_a_multiprocessor(self):
        # Issue slots: eight warps on four schedulers, 4 cycles a dependent FFMA: no wait; 64 warps: 4 each... 16 a scheduler.
        defines = "#define COUNT 400\n#define STRIDE 1\n#define SPLIT 32\n"
        module, p = self.compiled(defines + TIMED), self.zeros()
        alone = self.run_kernel(module, "chain", 256, p)["cycles"]
        full = self.run_kernel(module, "chain", 1024, p, blocks=264)["cycles"]
        self.assertLess(alone, 400 * 4 + 1500)
        self.assertGreater(full, 400 * 16)
        self.assertLess(full, 400 * 16 + 2500)


class Network(unittest.TestCase):
    def test_the_comparison_catches_a_wrong_kernel(self):
        serve, cubin_program = programs.build("serve", "cubin")
        good = programs.machine_code(cubin_program)
        data = bytearray(good.read_bytes())
        # A product is added where it should be subtracted: bit 75 of FFMA with three registers.
        disassembler = Path(os.environ["STANDIN_SM90"]) / "nvdisasm"
        text = subprocess.run([disassembler, "-c", "-hex", good], capture_output=True, text=True, check=True).stdout
        encodings = re.findall(r"FFMA R\d+, R\d+[.\w]*, R\d+[.\w]*, R\d+[.\w]* ;\s+/\* 0x(\w{16}) \*/\s+/\* 0x(\w{16}) \*/", text)
        self.assertTrue(encodings)
        for low, high in set(encodings):
            old = struct.pack("<QQ", int(low, 16), int(high, 16))
            data = data.replace(old, struct.pack("<QQ", int(low, 16), int(high, 16) ^ 1 << 11))
        with tempfile.TemporaryDirectory() as folder:
            wrong = Path(folder) / "wrong.cubin"
            wrong.write_bytes(data)
            with unittest.mock.patch.dict(os.environ):
                for name in [name for name in os.environ if name.startswith(("STANDIN_SM90_", "LD_LIBRARY_PATH"))]:
                    del os.environ[name]
                _, comparison, _ = prediction.predict(serve, "cifar", 1, wrong, timed=False)
                self.assertRegex(prediction.problem_of(comparison), "logits: ")
                _, comparison, _ = prediction.predict(serve, "cifar", 1, good, timed=False)
                self.assertEqual(prediction.problem_of(comparison), "")


def main():
    if "STANDIN_SM90_ENGINE" not in os.environ:
        # Again, under the stand-in driver.
        with tempfile.TemporaryDirectory() as folder:
            env = os.environ | {"STANDIN_SM90": programs.folder("nvdisasm"), "MSDCAM_NVRTC": programs.folder("nvrtc")}
            env |= {"STANDIN_SM90_REPORT": f"{folder}/report", "STANDIN_SM90_LATENCIES": str(prediction.LATENCIES)}
            command = [programs.ROOT / "tests/standin/run", sys.executable, *sys.argv]
            return subprocess.run(command, env=env).returncode
    return unittest.main()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except programs.Missing as e:
        print(f"skipped: the emulator's own tests: {e}")
