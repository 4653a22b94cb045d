// lrn, lrn_grad: local response normalization across channels, and its gradient as a gather.
//
// y[c] = x[c] / s[c]^beta with s[c] = bias + alpha / size * sum of x[c']^2 over the window of c; src/engine/graph/ops/lrn.rs
// has both formulas. Adjacent threads have adjacent pixels; a gradient computes s anew for each channel whose window
// has its own, from values that its neighbors read, too.

// The constants of a normalization, as they are in the weights, and the channels before and behind that of a window.
struct Normalization {
    float scale;           // alpha / size
    float exponent;        // -beta
    float bias;
    float gradient_scale;  // 2 alpha beta / size
    int before;
    int behind;
};

__device__ __forceinline__ Normalization normalization(const Step& step, const float* weights) {
    const float* constants = weights + step.weight;
    Normalization norm;
    norm.scale = __ldg(constants);
    norm.exponent = __ldg(constants + 1);
    norm.bias = __ldg(constants + 2);
    norm.gradient_scale = __ldg(constants + 3);
    norm.before = (step.detail - 1) / 2;
    norm.behind = step.detail / 2;
    return norm;
}

// s of `channel`. `x`: the pixel in channel 0; channels are `size` apart.
__device__ __forceinline__ float divisor_of(const Normalization& norm, const float* x, int channel, int channels, int size) {
    const int end = min(channel + norm.behind + 1, channels);
    float sum = 0.0f;
#pragma unroll 4
    for (int c = max(channel - norm.before, 0); c < end; c++) {
        const float value = x[c * size];
        sum = fmaf(value, value, sum);
    }
    return fmaf(norm.scale, sum, norm.bias);
}

__device__ void lrn(const Step& step, const float* weights, const float* in, float* out, Share share) {
    const int size = step.by_plane.divisor, count = step.out_c * size;
    const Normalization norm = normalization(step, weights);
    for (int i = share.first(); i < count; i += share.stride()) {
        const int channel = divide(i, step.by_plane);
        const float* pixel = in + (i - channel * size);
        out[i] = in[i] * powf(divisor_of(norm, pixel, channel, step.out_c, size), norm.exponent);
    }
}

__device__ void lrn_grad(const Step& step, const float* weights, const float* grad, const float* x, float* out, Share share) {
    const int size = step.by_plane.divisor, count = step.out_c * size;
    const Normalization norm = normalization(step, weights);
    for (int i = share.first(); i < count; i += share.stride()) {
        const int channel = divide(i, step.by_plane), position = i - channel * size;
        const int end = min(channel + norm.before + 1, step.out_c);
        float own = 0.0f, sum = 0.0f;
#pragma unroll 1
        for (int c = max(channel - norm.behind, 0); c < end; c++) {
            const int at = c * size + position;
            const float s = divisor_of(norm, x + position, c, step.out_c, size);
            const float part = grad[at] * powf(s, norm.exponent);
            own = c == channel ? part : own;
            sum += part * x[at] / s;
        }
        out[i] = own - norm.gradient_scale * x[i] * sum;
    }
}
