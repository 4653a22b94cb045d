// cam: from the gradient of a head's first convolution to the class activation map, in one launch.
//
// Grad-CAM weighs channel i of the tap by the spatial mean of the gradient there. That gradient
// is itself a convolution's input gradient, and its mean needs no gradient map: summing over the
// pixels first, each number g[o, p, q] counts with the sum of the kernel's taps that lie inside
// the image, and which taps do depends only on how near (p, q) is to the border. So
//     weight[i] = sum over border classes b and channels o of S[b, o] * K[b, o, i],
// where S sums g over the class's positions and K, made by the host, sums the kernel over the
// valid taps (divided by H W). The map, sum of weight[i] * x[i], follows in the same block while
// the weights are at hand.
//
// An image's channels go to blocks in groups of CAM_CHANNELS: each makes its weights and its
// part of the map, and the last one to finish adds the parts in order, applies the ReLU and finds
// the range. The groups do not depend on the batch, so neither do the bits.
//
// pooled_conv2d_grad, weighted_sum and range are the same steps one by one, for plans that were
// not fused.

#define CAM_CHANNELS 16
#define CAM_SLICES (THREADS / CAM_CHANNELS)
#define CAM_SUMS 4096

// The weights of one group of channels, left at shared[0] to shared[CAM_CHANNELS - 1], and
// written to `out`. `channels` is the number of channels of the tap.
__device__ __forceinline__ void pooled_group(const Launch& launch, const Step& step, const float* grad,
                                             int channels, int group, float* out, float* shared) {
    float* weight_of = shared;
    float* parts = shared + CAM_CHANNELS;
    float* sums = parts + THREADS;
    const int positions = plane(step.in_h, step.in_w);
    const unsigned int* class_of = launch.tables + step.class_table;
    const int channel = group * CAM_CHANNELS + threadIdx.x % CAM_CHANNELS;
    const int slice = threadIdx.x / CAM_CHANNELS;
    const int most = max(1, CAM_SUMS / step.classes);
    float weight = 0.0f;
    for (int first = 0; first < step.in_c; first += most) {
        const int count = min(most, step.in_c - first);
        __syncthreads();
        for (int o = threadIdx.x; o < count; o += THREADS) {
            for (int b = 0; b < step.classes; b++) {
                sums[b * count + o] = 0.0f;
            }
            const float* g = grad + (size_t)(first + o) * positions;
            for (int p = 0; p < positions; p++) {
                sums[class_of[p] * count + o] += g[p];
            }
        }
        __syncthreads();
        if (channel < channels) {
            const float* kernel = launch.weights + step.weight + channel;
#pragma unroll 8
            for (int r = slice; r < step.classes * count; r += CAM_SLICES) {
                const int row = count == step.in_c ? r : r / count * step.in_c + first + r % count;
                // A ReLU lets little through: many sums are zero, and their kernels stay unread.
                const float sum = sums[r];
                const float k = sum != 0.0f ? __ldg(kernel + (size_t)row * channels) : 0.0f;
                weight = fmaf(sum, k, weight);
            }
        }
    }
    parts[threadIdx.x] = weight;
    __syncthreads();
    if (threadIdx.x < CAM_CHANNELS) {
        float sum = 0.0f;
        for (int s = 0; s < CAM_SLICES; s++) {
            sum += parts[s * CAM_CHANNELS + threadIdx.x];
        }
        weight_of[threadIdx.x] = sum;
        if (channel < channels) {
            out[channel] = sum;
        }
    }
    __syncthreads();
}

__device__ __forceinline__ int cam_groups(int channels) { return (channels + CAM_CHANNELS - 1) / CAM_CHANNELS; }

// One group's weights and its part of the map. `out_*` is the tap's shape.
__device__ __forceinline__ void cam_group(const Launch& launch, const Step& step, const float* grad,
                                          const float* tap, int group, float* out, float* parts,
                                          float* shared) {
    pooled_group(launch, step, grad, step.out_c, group, out, shared);
    const int size = plane(step.out_h, step.out_w);
    const int first = group * CAM_CHANNELS, count = min(CAM_CHANNELS, step.out_c - first);
    for (int i = threadIdx.x; i < size; i += THREADS) {
        float sum = 0.0f;
#pragma unroll 4
        for (int c = 0; c < count; c++) {
            sum = fmaf(shared[c], tap[(size_t)(first + c) * size + i], sum);
        }
        __stcg(parts + group * size + i, sum);
    }
}

// Smallest and largest number of a block's map, behind it in the record.
__device__ __forceinline__ void write_range(float least, float most, float* out, float* shared) {
    block_range(shared, least, most);
    if (threadIdx.x == 0) {
        out[0] = least;
        out[1] = most;
    }
}

// Adds the groups' parts to the map; the record is: weights, map, minimum, maximum.
__device__ __forceinline__ void cam_finish(const Step& step, const float* parts, float* out, float* shared) {
    const int size = plane(step.out_h, step.out_w), groups = cam_groups(step.out_c);
    float* map = out + step.out_c;
    float least = INFINITE, most = -INFINITE;
    for (int i = threadIdx.x; i < size; i += THREADS) {
        float sum = 0.0f;
        for (int group = 0; group < groups; group++) {
            sum += __ldcg(parts + group * size + i);
        }
        sum = step.relu != RULE_NONE ? positive(sum) : sum;
        map[i] = sum;
        least = smaller(least, sum);
        most = larger(most, sum);
    }
    write_range(least, most, map + size, shared);
}

// All groups by one block, where the step is not the first of its job.
__device__ __forceinline__ void cam(const Launch& launch, const Step& step, const float* grad, const float* tap,
                                    float* out, float* parts, float* shared) {
    for (int group = 0; group < cam_groups(step.out_c); group++) {
        cam_group(launch, step, grad, tap, group, out, parts, shared);
    }
    __syncthreads();
    cam_finish(step, parts, out, shared);
}

__device__ void pooled_conv2d_grad(const Launch& launch, const Step& step, const float* grad, float* out,
                                   float* shared) {
    for (int group = 0; group < cam_groups(step.out_c); group++) {
        pooled_group(launch, step, grad, step.out_c, group, out, shared);
    }
}

// `in_*` is the shape of the weights, `out_*` that of the map.
__device__ void weighted_sum(const Step& step, const float* weight, const float* x, float* out, Share share) {
    const int size = plane(step.out_h, step.out_w);
    for (int i = share.first; i < size; i += share.stride) {
        float sum = 0.0f;
        for (int c = 0; c < step.in_c; c++) {
            sum = fmaf(weight[c], x[(size_t)c * size + i], sum);
        }
        out[i] = step.relu != RULE_NONE ? positive(sum) : sum;
    }
}

__device__ void range(const Step& step, const float* in, float* out, float* shared) {
    float least = INFINITE, most = -INFINITE;
    for (int i = threadIdx.x; i < step.in_c * plane(step.in_h, step.in_w); i += THREADS) {
        least = smaller(least, in[i]);
        most = larger(most, in[i]);
    }
    write_range(least, most, out, shared);
}
