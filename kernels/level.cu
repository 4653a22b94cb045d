// level: the only kernel. A launch is one level of a plan; its blocks find their jobs here.

// Every op except the convolutions, for one image. Ops with dependent elements use the whole block;
// elementwise ops compute the given share. False in a block that has nothing more to do.
__device__ __forceinline__ bool run_step(const Launch& launch, const Job& job, const Step& step, unsigned int image,
                                         unsigned int image_index, Share share, float* shared) {
    const float* in = slot(launch, step.first_space, step.first, image);
    const float* second = slot(launch, step.second_space, step.second, image);
    float* out = slot(launch, step.out_space, step.out, image);
    const float* weights = launch.weights;
    switch (step.op) {
    case OP_COPY: copy(step, in, out, share); break;
    case OP_ADD: add(step, in, second, out, share); break;
    case OP_RELU: relu(step, in, out, share); break;
    case OP_RELU_GRAD: relu_grad(step, in, second, out, share); break;
    case OP_BATCH_NORM: batch_norm(step, weights, in, out, share); break;
    case OP_MAX_POOL: max_pool(step, in, out, share); break;
    case OP_MAX_POOL_GRAD: max_pool_grad(step, in, second, out, share); break;
    case OP_AVG_POOL: avg_pool(step, in, out, share); break;
    case OP_AVG_POOL_GRAD: avg_pool_grad(step, in, out, share); break;
    case OP_LINEAR: linear(step, weights, in, out, share); break;
    case OP_LINEAR_GRAD: linear_grad(step, weights, in, out, share); break;
    case OP_SOFTMAX: softmax(step, in, out, shared); break;
    case OP_SOFTMAX_GRAD: softmax_grad(step, in, second, out, shared); break;
    case OP_ONE_HOT: one_hot(step, in, second, out); break;
    case OP_SPATIAL_MEAN: spatial_mean(step, in, out, share); break;
    case OP_POOLED_CONV2D_GRAD:
    case OP_CAM: return cam(launch, job, step, image_index, in, second, out, share, shared);
    case OP_WEIGHTED_SUM: weighted_sum(step, in, second, out, share); break;
    case OP_RANGE: range(step, in, out, shared); break;
    case OP_RESIZE_MIN_MAX: resize_min_max(step, in, out, share, shared); break;
    default: break;
    }
    return true;
}

extern "C" __global__ void __launch_bounds__(THREADS, 1) level(const __grid_constant__ Launch launch) {
    extern __shared__ __align__(16) float shared[];

    unsigned int job_index = 0, first_block = 0;
#pragma unroll
    for (int j = 1; j < MAX_JOBS; j++) {
        if (blockIdx.x >= launch.first_block[j]) {
            job_index = j;
            first_block = launch.first_block[j];
        }
    }
    const Job& job = launch.job[job_index];
    const unsigned int block = blockIdx.x - first_block;
    if (job.mode == MODE_CONV_SMALL) {
        conv2d_small(launch, job, block, shared);
        return;
    }
    if (job.mode == MODE_CONV_TILED) {
        if (job.conv.tiled & TILED_TWO_QUADS) {
            conv2d_tiled<2>(launch, job, block, shared);
        } else {
            conv2d_tiled<1>(launch, job, block, shared);
        }
        return;
    }
    const unsigned int image_index = divide(block, job.by_across), across = job.by_across.divisor;
    const unsigned int image = image_at(launch, image_index), part = block - image_index * across;
    // The first step may be shared by several blocks; the one that finishes it runs the others.
    Share share = {part, across};
    Step step = job.step;
    for (unsigned int s = 0;; s++) {
        const Step next = launch.steps[job.next_step + (s < job.more ? s : 0)];
        if (!run_step(launch, job, step, image, image_index, share, shared) || s >= job.more) {
            return;
        }
        __syncthreads();
        step = next;
        share = {0, 1};
    }
}
