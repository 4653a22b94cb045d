// grouped_conv2d, grouped_conv2d_grad: convolutions in groups of few channels, depthwise ones above all, and their
// gradient as a gather.
//
// A thread computes one result: adjacent threads have adjacent columns, and the taps that they share are in the caches. The
// terms of a sum are added one by one: channel by channel of the group, row by row of the window. Groups of many channels
// are convolutions of their own (conv2d.cu).

// Terms of a thread whose loads are in flight together: a window of 3x3, and what one of 5x5 has several times.
#define GROUPED_TERMS 9
#define GROUPED_GRAD_TERMS 5

__device__ void grouped_conv2d(const Step& step, const float* weights, const float* in, float* out, Share share) {
    const int size = step.by_plane.divisor, count = step.out_c * size, area = plane(step.kernel_h, step.kernel_w);
    // Channels of a group: read and written.
    const int reads = step.in_c / step.detail, writes = step.out_c / step.detail;
    for (int i = share.first(); i < count; i += share.stride()) {
        const int channel = divide(i, step.by_plane), position = i - channel * size;
        const int p = divide(position, step.by_row), q = position - p * step.out_w;
        const int group = writes == 1 ? channel : channel / writes;
        const int top = p * step.stride_h - step.padding_h, left = q * step.stride_w - step.padding_w;
        const float* x = in + group * reads * plane(step.in_h, step.in_w);
        const float* weight = weights + step.weight + channel * reads * area;
        float sum = 0.0f;
#pragma unroll 1
        for (int c = 0; c < reads; c++) {
            int row = top, v = 0;
#pragma unroll 1
            for (int first = 0; first < area; first += GROUPED_TERMS) {
                float value[GROUPED_TERMS], factor[GROUPED_TERMS];
#pragma unroll
                for (int n = 0; n < GROUPED_TERMS; n++) {
                    const int column = left + v * step.dilation_w;
                    const bool inside = first + n < area && (unsigned int)row < (unsigned int)step.in_h &&
                                        (unsigned int)column < (unsigned int)step.in_w;
                    value[n] = inside ? x[row * step.in_w + column] : 0.0f;
                    factor[n] = inside ? __ldg(weight + first + n) : 0.0f;
                    const bool ends = ++v == step.kernel_w;
                    v = ends ? 0 : v;
                    row += ends ? step.dilation_h : 0;
                }
#pragma unroll
                for (int n = 0; n < GROUPED_TERMS; n++) {
                    sum = fmaf(value[n], factor[n], sum);
                }
            }
            x += plane(step.in_h, step.in_w);
            weight += area;
        }
        sum += __ldg(weights + step.bias + channel);
        out[i] = step.relu != RULE_NONE ? clipped(sum, step.relu_max) : sum;
    }
}

// The window taps along one axis that are over a pixel: each `step`-th from `first` on, or none: `first` is then the
// number of all taps. The first is that of the window at `position`, the next of the one `turn` positions before.
struct TapsOver {
    int first;
    int step;
    int position;
    int turn;
};

// What does not depend on the pixel.
__device__ __forceinline__ TapsOver taps_over_any(int kernel, int stride, int dilation) {
    TapsOver taps;
    taps.step = 1;
    while (taps.step < kernel && taps.step * dilation % stride != 0) {
        taps.step++;
    }
    taps.turn = taps.step * dilation / stride;
    taps.first = kernel;
    taps.position = 0;
    return taps;
}

// `place`: the pixel's distance from the first window's start.
__device__ __forceinline__ TapsOver taps_over(TapsOver taps, int place, int kernel, int stride, int dilation) {
    for (int tap = 0; tap < taps.step; tap++) {
        const int start = place - tap * dilation, position = stride == 1 ? start : start / stride;
        if (position * stride == start) {
            taps.first = tap;
            taps.position = position;
            break;
        }
    }
    return taps;
}

// `in_*` is the gradient's shape, `out_*` that of the convolution's input; `result`: that of the ReLU before it.
__device__ void grouped_conv2d_grad(const Step& step, const float* weights, const float* grad, const float* result,
                                    float* out, Share share) {
    const int size = step.by_plane.divisor, count = step.out_c * size, area = plane(step.kernel_h, step.kernel_w);
    const int reads = step.out_c / step.detail, writes = step.in_c / step.detail;
    const TapsOver rows = taps_over_any(step.kernel_h, step.stride_h, step.dilation_h);
    const TapsOver columns = taps_over_any(step.kernel_w, step.stride_w, step.dilation_w);
    for (int i = share.first(); i < count; i += share.stride()) {
        const int channel = divide(i, step.by_plane), pixel = i - channel * size;
        const int y = divide(pixel, step.by_row), x = pixel - y * step.out_w;
        const int group = reads == 1 ? channel : channel / reads;
        const TapsOver down = taps_over(rows, y + step.padding_h, step.kernel_h, step.stride_h, step.dilation_h);
        const TapsOver right = taps_over(columns, x + step.padding_w, step.kernel_w, step.stride_w, step.dilation_w);
        const float* g = grad + group * writes * plane(step.in_h, step.in_w);
        const float* weight = weights + step.weight + (group * writes * reads + channel - group * reads) * area;
        float sum = 0.0f;
#pragma unroll 1
        for (int o = 0; o < writes; o++) {
            int u = right.first < step.kernel_w ? down.first : step.kernel_h, v = right.first;
            int p = down.position, q = right.position;
#pragma unroll 1
            while (u < step.kernel_h) {
                float value[GROUPED_GRAD_TERMS], factor[GROUPED_GRAD_TERMS];
#pragma unroll
                for (int n = 0; n < GROUPED_GRAD_TERMS; n++) {
                    const bool inside = u < step.kernel_h && (unsigned int)p < (unsigned int)step.in_h &&
                                        (unsigned int)q < (unsigned int)step.in_w;
                    value[n] = inside ? g[p * step.in_w + q] : 0.0f;
                    factor[n] = inside ? __ldg(weight + u * step.kernel_w + v) : 0.0f;
                    v += right.step;
                    q -= right.turn;
                    const bool ends = v >= step.kernel_w;
                    v = ends ? right.first : v;
                    q = ends ? right.position : q;
                    u += ends ? down.step : 0;
                    p -= ends ? down.turn : 0;
                }
#pragma unroll
                for (int n = 0; n < GROUPED_GRAD_TERMS; n++) {
                    sum = fmaf(value[n], factor[n], sum);
                }
            }
            g += plane(step.in_h, step.in_w);
            weight += reads * area;
        }
        out[i] = step.relu != RULE_NONE ? relu_gate(step.relu, step.relu_max, sum, result[i]) : sum;
    }
}
