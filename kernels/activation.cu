// activation, activation_grad: smooth and leaky activations, and their gradients from the activation's input.
//
// src/engine/graph/ops/activation.rs defines them. NaN stays NaN. The constants of an activation, its slope and offset,
// are in the weights.

// Elements of a thread whose loads are in flight together.
#define ACTIVATION_AHEAD 2

// 1 / (1 + exp(-x)), by the exponential of -|x|: on that side of zero no digits are lost.
__device__ __forceinline__ float sigmoid(float x) {
    const float e = expf(-fabsf(x)), s = 1.0f / (1.0f + e);
    return x < 0.0f ? e * s : s;
}

template <int KIND>
__device__ __forceinline__ float activation_value(float slope, float offset, float x) {
    switch (KIND) {
    case ACTIVATION_SIGMOID: return sigmoid(x);
    case ACTIVATION_HARD_SIGMOID: return clipped(slope * x + offset, 1.0f);
    case ACTIVATION_HARD_SWISH: return x * clipped(x + 3.0f, 6.0f) * (1.0f / 6.0f);
    case ACTIVATION_SILU: return x * sigmoid(x);
    default: return x < 0.0f ? slope * x : x;
    }
}

template <int KIND>
__device__ __forceinline__ float activation_derivative(float slope, float offset, float x) {
    const float s = KIND == ACTIVATION_SILU ? sigmoid(x) : KIND == ACTIVATION_SIGMOID ? sigmoid(-fabsf(x)) : 0.0f;
    const float y = slope * x + offset;
    switch (KIND) {
    case ACTIVATION_SIGMOID: return s * (1.0f - s);
    case ACTIVATION_HARD_SIGMOID: return y <= 0.0f || y >= 1.0f ? 0.0f : slope;
    case ACTIVATION_HARD_SWISH: return x <= -3.0f ? 0.0f : x >= 3.0f ? 1.0f : (2.0f * x + 3.0f) * (1.0f / 6.0f);
    case ACTIVATION_SILU: return s + x * s * (1.0f - s);
    default: return x > 0.0f ? 1.0f : slope;
    }
}

// The values, or the gradients, of a share's elements.
template <int KIND, bool GRADIENT>
__device__ __forceinline__ void activate(const Step& step, float slope, float offset, const float* grad, const float* in,
                                         float* out, Share share) {
    const int count = step.out_c * (int)step.by_plane.divisor, stride = share.stride();
#pragma unroll 1
    for (int first = share.first(); first < count; first += ACTIVATION_AHEAD * stride) {
        float x[ACTIVATION_AHEAD], factor[ACTIVATION_AHEAD];
#pragma unroll
        for (int n = 0; n < ACTIVATION_AHEAD; n++) {
            const int i = first + n * stride;
            x[n] = i < count ? in[i] : 0.0f;
            factor[n] = GRADIENT && i < count ? grad[i] : 0.0f;
        }
#pragma unroll
        for (int n = 0; n < ACTIVATION_AHEAD; n++) {
            const int i = first + n * stride;
            if (i < count) {
                out[i] = GRADIENT ? factor[n] * activation_derivative<KIND>(slope, offset, x[n])
                                  : activation_value<KIND>(slope, offset, x[n]);
            }
        }
    }
}

template <bool GRADIENT>
__device__ __forceinline__ void activate_by_kind(const Step& step, const float* weights, const float* grad, const float* in,
                                                 float* out, Share share) {
    const float slope = __ldg(weights + step.weight), offset = __ldg(weights + step.weight + 1);
    switch (step.detail) {
    case ACTIVATION_SIGMOID: activate<ACTIVATION_SIGMOID, GRADIENT>(step, slope, offset, grad, in, out, share); break;
    case ACTIVATION_HARD_SIGMOID: activate<ACTIVATION_HARD_SIGMOID, GRADIENT>(step, slope, offset, grad, in, out, share); break;
    case ACTIVATION_HARD_SWISH: activate<ACTIVATION_HARD_SWISH, GRADIENT>(step, slope, offset, grad, in, out, share); break;
    case ACTIVATION_SILU: activate<ACTIVATION_SILU, GRADIENT>(step, slope, offset, grad, in, out, share); break;
    default: activate<ACTIVATION_LEAKY_RELU, GRADIENT>(step, slope, offset, grad, in, out, share); break;
    }
}

__device__ void activation(const Step& step, const float* weights, const float* in, float* out, Share share) {
    activate_by_kind<false>(step, weights, in, in, out, share);
}

__device__ void activation_grad(const Step& step, const float* weights, const float* grad, const float* in, float* out,
                                Share share) {
    activate_by_kind<true>(step, weights, grad, in, out, share);
}
