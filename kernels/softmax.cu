// softmax, softmax_grad: p = exp(x - max) / sum of exp(x - max), and dx = p * (g - sum of g * p).
//
// Sums are taken in double precision, so that the probabilities add up to one, and by a tree
// whose shape does not depend on anything but the block's size.

// The sum of what a block's threads hold. `shared` holds THREADS doubles.
__device__ __forceinline__ double block_sum(float* shared, double mine) {
    double* sums = (double*)shared;
    sums[threadIdx.x] = mine;
    __syncthreads();
    for (unsigned int half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            sums[threadIdx.x] += sums[threadIdx.x + half];
        }
        __syncthreads();
    }
    const double sum = sums[0];
    __syncthreads();
    return sum;
}

__device__ void softmax(const Step& step, const float* in, float* out, float* shared) {
    float least = INFINITE, most = -INFINITE;
    for (int i = threadIdx.x; i < step.out_c; i += THREADS) {
        most = larger(most, in[i]);
    }
    block_range(shared, least, most);
    double sum = 0.0;
    for (int i = threadIdx.x; i < step.out_c; i += THREADS) {
        out[i] = expf(in[i] - most);
        sum += (double)out[i];
    }
    sum = block_sum(shared, sum);
    for (int i = threadIdx.x; i < step.out_c; i += THREADS) {
        out[i] = (float)((double)out[i] / sum);
    }
}

__device__ void softmax_grad(const Step& step, const float* grad, const float* p, float* out, float* shared) {
    double sum = 0.0;
    for (int i = threadIdx.x; i < step.out_c; i += THREADS) {
        sum += (double)grad[i] * (double)p[i];
    }
    const float mean = (float)block_sum(shared, sum);
    for (int i = threadIdx.x; i < step.out_c; i += THREADS) {
        out[i] = p[i] * (grad[i] - mean);
    }
}
