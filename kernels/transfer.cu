// transfer: a copy between the device's memory and the host's pinned memory, which the GPU reads and writes directly.
//
// A launch between launches, where the copy engine would have to be waited for.

extern "C" __global__ void __launch_bounds__(THREADS) transfer(const float* from, float* to, unsigned int count) {
    wait_for_earlier_levels();
    const unsigned int first = blockIdx.x * THREADS + threadIdx.x, stride = gridDim.x * THREADS;
    // Both arrays are aligned to 16 bytes. Never from a cache: the host has changed its memory.
    for (unsigned int i = first; i < count / 4; i += stride) {
        ((float4*)to)[i] = __ldcv((const float4*)from + i);
    }
    for (unsigned int i = count / 4 * 4 + first; i < count; i += stride) {
        to[i] = __ldcv(from + i);
    }
}
