// classifier: average pooling, linear layer, softmax, and the chosen logit's gradient, as one step.
//
// For x (C, H, W) the record is the K logits, the K probabilities and the gradient (C, H, W), gated by the ReLU whose
// result x is. `out_c` is K, `out_h` and `out_w` are the pooled map's.
//
// Every block of an image pools x into shared memory and computes a part of the logits; the last one to finish
// does the rest, where each warp finds the maximum, the class and the sum of the exponentials alone: with
// few classes that is faster than to wait for others.

// Elements of a row of the weight that a lane loads before the pooled values are known, and rows of a warp.
#define CLASSIFIER_AHEAD 4
#define CLASSIFIER_ROWS 2

__device__ __forceinline__ void pool(const Step& step, const float* x, float* pooled) {
    const int size = step.by_plane.divisor, count = step.in_c * size;
    const float part = 1.0f / (float)(step.kernel_h * step.kernel_w);
    for (int i = threadIdx.x; i < count; i += THREADS) {
        const int channel = divide(i, step.by_plane), position = i - channel * size;
        const int p = divide(position, step.by_row), q = position - p * step.out_w;
        const float* window = x + (channel * plane(step.in_h, step.in_w) + p * step.stride_h * step.in_w + q * step.stride_w);
        float sum = 0.0f;
        for (int u = 0, v = 0; u < step.kernel_h;) {
            // Four loads in flight, row by row.
            float value[4];
#pragma unroll
            for (int n = 0; n < 4; n++) {
                value[n] = u < step.kernel_h ? window[u * step.in_w + v] : 0.0f;
                v = v + 1 == step.kernel_w ? 0 : v + 1;
                u += v == 0;
            }
#pragma unroll
            for (int n = 0; n < 4; n++) {
                sum += value[n];
            }
        }
        pooled[i] = sum * part;
    }
}

// Gradient of the pooled values' sum, weighted by `row`, with respect to x: window by window, then the gate. Threads
// below `threads` share the elements.
__device__ __forceinline__ void pool_gradient(const Step& step, const float* row, const float* x, float* out,
                                              unsigned int threads) {
    const unsigned int size = step.by_plane.divisor, width = step.in_w, pixels = step.in_h * width;
    const unsigned int count = step.in_c * pixels;
    const float part = 1.0f / (float)(step.kernel_h * step.kernel_w);
#pragma unroll 1
    for (unsigned int i = threadIdx.x; i < count; i += threads) {
        const float y = x[i];
        const unsigned int c = i / pixels, pixel = i - c * pixels, down = pixel / width, right = pixel - down * width;
        const float* weight = row + c * size;
        float sum = 0.0f;
        for (int p = 0; p < step.out_h; p++) {
            for (int q = 0; q < step.out_w; q++) {
                const bool covers = down - p * step.stride_h < (unsigned int)step.kernel_h &&
                                    right - q * step.stride_w < (unsigned int)step.kernel_w;
                sum = covers ? fmaf(__ldg(weight + p * step.out_w + q), part, sum) : sum;
            }
        }
        out[i] = relu_gate(step.relu, step.relu_max, sum, y);
    }
}

// True in the block that finished the image.
__device__ __forceinline__ bool classifier(const Launch& launch, const Chain& chain, const Step& step,
                                           unsigned int image_index, const float* x, const float* target, float* out,
                                           Share share, float* shared) {
    const int classes = step.out_c, length = step.in_c * (int)step.by_plane.divisor;
    const int lane = threadIdx.x % 32;
    float* pooled = shared;
    float* logits = shared + length;
    const float* weight = launch.weights + step.weight;
    const float* bias = launch.weights + step.bias;

    int row = CLASSIFIER_ROWS * (share.first() / 32);
    float ahead[CLASSIFIER_ROWS][CLASSIFIER_AHEAD];
#pragma unroll
    for (int r = 0; r < CLASSIFIER_ROWS; r++) {
#pragma unroll
        for (int j = 0; j < CLASSIFIER_AHEAD; j++) {
            const bool exists = row + r < classes && lane + 32 * j < length;
            ahead[r][j] = exists ? __ldg(weight + ((row + r) * length + lane + 32 * j)) : 0.0f;
        }
    }
    // The bias of the row that this lane finishes.
    const float ahead_bias = lane < CLASSIFIER_ROWS && row + lane < classes ? __ldg(bias + row + lane) : 0.0f;
    wait_for_earlier_levels();
    const float chosen = target[0];
    pool(step, x, pooled);
    __syncthreads();
    for (; row < classes; row += CLASSIFIER_ROWS * (share.stride() / 32)) {
        const bool first = row == CLASSIFIER_ROWS * (share.first() / 32);
        const int next = row + 1 < classes ? length : 0;
        const float* weights = weight + row * length;
        float sum[CLASSIFIER_ROWS] = {0.0f, 0.0f};
        if (first) {
#pragma unroll
            for (int j = 0; j < CLASSIFIER_AHEAD; j++) {
                if (lane + 32 * j < length) {
                    const float value = pooled[lane + 32 * j];
                    sum[0] = fmaf(ahead[0][j], value, sum[0]);
                    sum[1] = fmaf(ahead[1][j], value, sum[1]);
                }
            }
        }
#pragma unroll 4
        for (int i = lane + (first ? 32 * CLASSIFIER_AHEAD : 0); i < length; i += 32) {
            sum[0] = fmaf(__ldg(weights + i), pooled[i], sum[0]);
            sum[1] = fmaf(__ldg(weights + next + i), pooled[i], sum[1]);
        }
#pragma unroll
        for (int half = 16; half > 0; half /= 2) {
            sum[0] += __shfl_xor_sync(0xffffffffu, sum[0], half);
            sum[1] += __shfl_xor_sync(0xffffffffu, sum[1], half);
        }
        if (lane < CLASSIFIER_ROWS && row + lane < classes) {
            const float logit = (lane == 0 ? sum[0] : sum[1]) + (first ? ahead_bias : __ldg(bias + row + lane));
            logits[row + lane] = logit;
            __stcg(out + row + lane, logit);
        }
    }
    if (share.parts > 1) {
        if (!last_block(launch.counters + chain.counter + image_index, share.parts)) {
            return false;
        }
        for (int i = threadIdx.x; i < classes; i += THREADS) {
            logits[i] = __ldcg(out + i);
        }
    }
    __syncthreads();

    const int best = target_class(logits, classes, chosen);
    // Where one warp can finish all classes, it does so beside the others, which compute the gradient.
    const bool apart = classes <= 32, finishes = !apart || threadIdx.x >= THREADS - 32;
    if (!apart || !finishes) {
        pool_gradient(step, weight + best * length, x, out + 2 * classes, apart ? THREADS - 32 : THREADS);
    }
    if (!finishes) {
        return true;
    }
    float maximum = -INFINITE;
    for (int i = lane; i < classes; i += 32) {
        maximum = max_nan(maximum, logits[i]);
    }
#pragma unroll
    for (int half = 16; half > 0; half /= 2) {
        maximum = max_nan(maximum, __shfl_xor_sync(0xffffffffu, maximum, half));
    }
    double sum = 0.0;
    for (int i = lane; i < classes; i += 32) {
        sum += (double)expf(logits[i] - maximum);
    }
#pragma unroll
    for (int half = 16; half > 0; half /= 2) {
        sum += __shfl_xor_sync(0xffffffffu, sum, half);
    }
    for (int i = apart ? lane : threadIdx.x; i < classes; i += THREADS) {
        out[classes + i] = (float)((double)expf(logits[i] - maximum) / sum);
    }
    return true;
}
