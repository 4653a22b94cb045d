// level: the kernel of one level of a plan, whose blocks find their jobs here.

// Ops with fields that no op of an MSD-Net has. `row` is the step in the table: what is carried from step to step in
// registers does not have to include these fields.
__device__ __forceinline__ void run_wide_step(const Launch& launch, const Step& row, const float* in, const float* second,
                                              float* out, Share share) {
    const Step step = row;
    const float* weights = launch.weights;
    switch (step.op) {
    case OP_SLICE_GRAD: slice_grad(step, in, out, share); break;
    case OP_CHANNEL_SHUFFLE: channel_shuffle(step, in, out, share); break;
    case OP_MUL: mul(step, in, second, out, share); break;
    case OP_CHANNEL_DOT: channel_dot(step, in, second, out, share); break;
    case OP_ACTIVATION: activation(step, weights, in, out, share); break;
    case OP_ACTIVATION_GRAD: activation_grad(step, weights, in, second, out, share); break;
    case OP_LRN: lrn(step, weights, in, out, share); break;
    case OP_LRN_GRAD: lrn_grad(step, weights, in, second, out, share); break;
    case OP_RESIZE: resize(step, launch.tables, in, out, share); break;
    case OP_RESIZE_GRAD: resize_grad(step, launch.tables, in, out, share); break;
    case OP_GROUPED_CONV2D: grouped_conv2d(step, weights, in, out, share); break;
    case OP_GROUPED_CONV2D_GRAD: grouped_conv2d_grad(step, weights, in, second, out, share); break;
    default: break;
    }
}

// Every op except the convolutions, for one image. Ops with dependent elements use the whole block;
// elementwise ops compute the given share. `row` is the step in the table. False in a block that has nothing more to do.
__device__ __forceinline__ bool run_step(const Launch& launch, const Chain& chain, const Step& step, const Step& row,
                                         unsigned int image, unsigned int image_index, Share share, float* shared) {
    const float* in = slot(launch, step.first_space, step.first, image);
    const float* second = slot(launch, step.second_space, step.second, image);
    float* out = slot(launch, step.out_space, step.out, image);
    const float* weights = launch.weights;
    // What every head has, first. The classifier waits when it has requested its weights.
    if (step.op == OP_CLASSIFIER) {
        return classifier(launch, chain, step, image_index, in, second, out, share, shared);
    }
    wait_for_earlier_levels();
    if (step.op == OP_CAM || step.op == OP_POOLED_CONV2D_GRAD) {
        return cam(launch, chain, step, image_index, in, second, out, share, shared);
    }
    if (step.op == OP_RESIZE_MIN_MAX) {
        resize_min_max(step, in, out, share, shared);
        return true;
    }
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
    case OP_WEIGHTED_SUM: weighted_sum(step, in, second, out, share); break;
    case OP_RANGE: range(step, in, out, shared); break;
    default: run_wide_step(launch, row, in, second, out, share); break;
    }
    return true;
}

__device__ __forceinline__ void run_chain(const Launch& launch, const Chain& chain, unsigned int block, float* shared) {
    const unsigned int image_index = divide(block, chain.by_across), across = chain.by_across.divisor;
    const unsigned int image = image_at(launch, image_index);
    // The first step may be shared by several blocks; the one that finishes it runs the others.
    Share share = {block - image_index * across, across};
    Step step = launch.steps[chain.first_step];
    __shared__ Step next[2];
    for (unsigned int s = 1;; s++) {
        // Copied before it is needed, to shared memory: in registers it would take a quarter of them.
        Step* after = &next[s % 2];
        if (s < chain.steps && threadIdx.x < sizeof(Step) / sizeof(float)) {
            copy_async<1>((float*)after + threadIdx.x, (const float*)(launch.steps + chain.first_step + s) + threadIdx.x, true);
        }
        commit_copies();
        const Step& row = launch.steps[chain.first_step + s - 1];
        if (!run_step(launch, chain, step, row, image, image_index, share, shared) || s >= chain.steps) {
            return;
        }
        wait_for_copies<0>();
        __syncthreads();
        step = *after;
        share = {0, 1};
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 2) level(const __grid_constant__ Launch launch) {
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
        conv2d_small(launch, job.conv, block, shared);
    } else if (job.mode == MODE_CONV_TILED) {
        if (job.conv.tiled & TILED_TWO_QUADS) {
            conv2d_tiled<2>(launch, job.conv, block, shared);
        } else {
            conv2d_tiled<1>(launch, job.conv, block, shared);
        }
    } else {
        run_chain(launch, job.chain, block, shared);
    }
}
