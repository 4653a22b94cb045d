// Kernels for bandwidth: fill, and a sum that reads every word.

#define SCALE 2654435761u
#define LOADS 8 // of 16 bytes a thread: a chunk is 64 KB for 512 threads

KERNEL fill(u32* words, u64 count) {
    u64 step = (u64)gridDim.x * blockDim.x;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) words[i] = (u32)i * SCALE;
}

// Reads `chunks` chunks `passes` times; from pass to pass a chunk goes to another block.
KERNEL __launch_bounds__(512, 2) sum(const uint4* data, u32 chunks, u32 passes, u32* total) {
    u32 mine = 0;
    for (u32 c = blockIdx.x; c < chunks * passes; c += gridDim.x) {
        const uint4* chunk = data + (u64)(c % chunks) * (LOADS * blockDim.x) + threadIdx.x;
        uint4 v[LOADS];
        _Pragma("unroll") for (u32 k = 0; k < LOADS; ++k) v[k] = __ldcg(chunk + k * blockDim.x);
        _Pragma("unroll") for (u32 k = 0; k < LOADS; ++k) mine += v[k].x + v[k].y + v[k].z + v[k].w;
    }
    atomicAdd(total, mine);
}
