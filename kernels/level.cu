// level: the only kernel. A launch is one level of a plan; its blocks find their jobs here.

// Every op except the convolutions, for one image. Ops with dependent elements use the whole block;
// elementwise ops compute the given share.
__device__ __forceinline__ void run_step(const Launch& launch, const Job& job, const Step& step,
                                         unsigned int image, unsigned int image_index, Share share,
                                         float* shared) {
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
    case OP_LINEAR: linear(step, weights, in, out); break;
    case OP_LINEAR_GRAD: linear_grad(step, weights, in, out, share); break;
    case OP_SOFTMAX: softmax(step, in, out, shared); break;
    case OP_SOFTMAX_GRAD: softmax_grad(step, in, second, out, shared); break;
    case OP_ONE_HOT: one_hot(step, in, second, out); break;
    case OP_SPATIAL_MEAN: spatial_mean(step, in, out, share); break;
    case OP_POOLED_CONV2D_GRAD: pooled_conv2d_grad(launch, step, in, out, shared); break;
    case OP_WEIGHTED_SUM: weighted_sum(step, in, second, out, share); break;
    case OP_RANGE: range(step, in, out, shared); break;
    case OP_CAM: {
        const size_t size = cam_groups(step.out_c) * plane(step.out_h, step.out_w);
        cam(launch, step, in, second, out, launch.scratch + job.scratch + image_index * size, shared);
        break;
    }
    case OP_RESIZE_MIN_MAX: resize_min_max(step, in, out, shared); break;
    default: break;
    }
}

// The first step of a job in MODE_CAM; true in the block that continues with the image.
__device__ __forceinline__ bool run_cam(const Launch& launch, const Job& job, const Step& step,
                                        unsigned int image, unsigned int image_index, int group,
                                        float* shared) {
    const int size = plane(step.out_h, step.out_w);
    float* out = slot(launch, step.out_space, step.out, image);
    float* parts = launch.scratch + job.scratch + (size_t)image_index * job.across * size;
    cam_group(launch, step, slot(launch, step.first_space, step.first, image),
              slot(launch, step.second_space, step.second, image), group, out, parts, shared);
    if (!last_block(launch.counters + job.counter + image_index, job.across)) {
        return false;
    }
    cam_finish(step, parts, out, shared);
    return true;
}

extern "C" __global__ void __launch_bounds__(THREADS, 2) level(const __grid_constant__ Launch launch) {
    __shared__ Step steps[MAX_STEPS];
    __shared__ __align__(16) float shared[SHARED_FLOATS];

    unsigned int job_index = 0;
    while (job_index + 1 < launch.jobs && blockIdx.x >= launch.job[job_index + 1].first_block) {
        job_index++;
    }
    const Job& job = launch.job[job_index];
    const unsigned int block = blockIdx.x - job.first_block;
    const unsigned int image_index = block / job.across;

    for (unsigned int first = 0; first < job.steps; first += MAX_STEPS) {
        const unsigned int count = min(job.steps - first, (unsigned int)MAX_STEPS);
        const unsigned int words = count * (sizeof(Step) / sizeof(unsigned int));
        const unsigned int* table = (const unsigned int*)(launch.steps + job.first_step + first);
        for (unsigned int i = threadIdx.x; i < words; i += THREADS) {
            ((unsigned int*)steps)[i] = table[i];
        }
        __syncthreads();
        if (job.mode == MODE_SPLIT) {
            if (steps[0].vector) {
                conv2d_split<true>(launch, job, steps[0], block, shared);
            } else {
                conv2d_split<false>(launch, job, steps[0], block, shared);
            }
            return;
        }
        if (job.mode == MODE_WHOLE) {
            if (steps[0].vector) {
                conv2d_whole<true>(launch, job, steps[0], block, shared);
            } else {
                conv2d_whole<false>(launch, job, steps[0], block, shared);
            }
            return;
        }
        const unsigned int image = image_at(launch, image_index);
        const unsigned int part = block % job.across;
        Share share;
        share.first = threadIdx.x;
        share.stride = THREADS;
        if (job.mode == MODE_SPREAD) {
            share.first += part * THREADS;
            share.stride *= job.across;
        }
        for (unsigned int s = 0; s < count; s++) {
            if (job.mode == MODE_CAM && first + s == 0) {
                if (!run_cam(launch, job, steps[0], image, image_index, part, shared)) {
                    return;
                }
            } else {
                run_step(launch, job, steps[s], image, image_index, share, shared);
            }
            __syncthreads();
        }
    }
}
