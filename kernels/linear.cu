// linear, linear_grad: a fully connected layer over the flattened input, and its gradient.
//
// A warp takes one output: its lanes stride over the row and meet in a fixed tree. In the
// gradient a thread takes one number and skips the classes whose gradient is zero: a seed is
// one-hot, so all but one row of the weight are never read.

__device__ void linear(const Step& step, const float* weights, const float* in, float* out) {
    const int length = step.in_c * plane(step.in_h, step.in_w);
    const int lane = threadIdx.x % 32;
    for (int o = threadIdx.x / 32; o < step.out_c; o += THREADS / 32) {
        const float* row = weights + step.weight + (size_t)o * length;
        float sum = 0.0f;
        for (int i = lane; i < length; i += 32) {
            sum = fmaf(row[i], in[i], sum);
        }
        for (int half = 16; half > 0; half /= 2) {
            sum += __shfl_xor_sync(0xffffffffu, sum, half);
        }
        if (lane == 0) {
            out[o] = sum + weights[step.bias + o];
        }
    }
}

__device__ void linear_grad(const Step& step, const float* weights, const float* grad, float* out, Share share) {
    const int length = step.out_c * plane(step.out_h, step.out_w);
    for (int i = share.first; i < length; i += share.stride) {
        float sum = 0.0f;
        for (int o = 0; o < step.in_c; o++) {
            const float g = grad[o];
            if (g != 0.0f) {
                sum = fmaf(weights[step.weight + (size_t)o * length + i], g, sum);
            }
        }
        out[i] = sum;
    }
}
