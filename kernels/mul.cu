// mul, channel_dot: the product of two maps, or of a map's channels with a factor each, and what is the gradient of such
// factors: the sum of a channel's products.
//
// A warp sums a channel: its lanes stride over the elements and reduce in a fixed tree.

__device__ void mul(const Step& step, const float* in, const float* factor, float* out, Share share) {
    const int count = step.out_c * (int)step.by_plane.divisor;
    const bool by_channel = step.detail != 0;
    for (int i = share.first(); i < count; i += share.stride()) {
        out[i] = in[i] * factor[by_channel ? (int)divide(i, step.by_plane) : i];
    }
}

__device__ void channel_dot(const Step& step, const float* first, const float* second, float* out, Share share) {
    const int size = plane(step.in_h, step.in_w), lane = threadIdx.x % 32;
    for (int channel = share.first() / 32; channel < step.out_c; channel += share.stride() / 32) {
        const float* a = first + channel * size;
        const float* b = second + channel * size;
        float sum = 0.0f;
#pragma unroll 4
        for (int i = lane; i < size; i += 32) {
            sum = fmaf(a[i], b[i], sum);
        }
        sum = warp_sum(sum);
        if (lane == 0) {
            out[channel] = sum;
        }
    }
}
