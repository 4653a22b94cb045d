// conv2d_split: convolutions with few pixels (one image, small maps), where time is latency.
//
// A block owns a tile of 256 results and one group of terms, and each slice of the group is assigned
// to 8 threads. No term is read twice, only the slices' sums pass through shared memory, and no thread
// adds more than SLICE terms. Where a sum has several groups, the last block to finish a tile adds
// them.

#define TILE 256
#define TILE_ROW (TILE + 8)
// Terms read at once where each pixel is a separate load: limited by the registers.
#if __CUDA_ARCH__ >= 1000
#define SPLIT_TERMS 3
#else
#define SPLIT_TERMS 4
#endif

template <bool VECTOR>
__device__ __forceinline__ void conv2d_split(const Launch& launch, const Job& job, const Step& step,
                                             unsigned int block, float* shared) {
    // Tiles of 16 pixels by 16 channels, or 32 by 8 where there are at most 8 channels.
    const int narrow = step.out_c <= CHANNELS;
    const int tile_pixels = narrow ? 32 : 16;
    const unsigned int group = block % job.groups, tile = block / job.groups;
    const int first_channel = tile % job.across * (TILE / tile_pixels);
    const unsigned int first_pixel = tile / job.across * tile_pixels;

    const int slice = threadIdx.x / 8, lane = threadIdx.x % 8;
    const int pixel_lane = narrow ? lane : lane % 4, channel_lane = narrow ? 0 : lane / 4;
    const unsigned int pixels = launch.images * step.rows * step.columns;

    const int result_channel = first_channel + threadIdx.x / tile_pixels;
    const unsigned int result_pixel = first_pixel + threadIdx.x % tile_pixels;
    const bool exists = result_channel < step.out_c && result_pixel < pixels;
    Result result = {0, 0.0f};
    if (exists) {
        result = find_result(launch, step, pixel_at(step, result_pixel), result_channel);
    }

    const int first_term = group * GROUP + slice * SLICE;
    const int terms = min(SLICE, step.terms - first_term);
    const int channel = first_channel + channel_lane * CHANNELS;
    if (terms > 0 && channel < step.weight_row) {
        Patch patch;
        Pixel pixel = pixel_at(step, first_pixel + pixel_lane * PIXELS);
#pragma unroll
        for (int j = 0; j < PIXELS; j++) {
            set_pixel(launch, step, pixel, first_pixel + pixel_lane * PIXELS + j < pixels, patch, j);
            next_pixel(step, pixel);
        }
        // A vectorized convolution is pointwise: its terms are its channels.
        Term term = {0, 0, first_term};
        if (!VECTOR) {
            term = term_at(step, first_term);
        }
        const float* weight = launch.weights + step.weight + (size_t)first_term * step.weight_row + channel;
        float sum[PIXELS][CHANNELS];
        sum_slice<(VECTOR ? 4 : SPLIT_TERMS), VECTOR>(step, space_start(launch, step.first_space), patch, term,
                                                      terms, weight, sum);
        float* mine = shared + slice * TILE_ROW + channel_lane * CHANNELS * tile_pixels + pixel_lane * PIXELS;
#pragma unroll
        for (int n = 0; n < CHANNELS; n++) {
            *(float4*)(mine + n * tile_pixels) = make_float4(sum[0][n], sum[1][n], sum[2][n], sum[3][n]);
        }
    }
    __syncthreads();

    const int slices = (min(GROUP, step.terms - (int)group * GROUP) + SLICE - 1) / SLICE;
    float sum = 0.0f;
    if (exists) {
#pragma unroll 8
        for (int s = 0; s < slices; s++) {
            sum += shared[s * TILE_ROW + threadIdx.x];
        }
    }
    if (job.groups > 1) {
        float* partial = launch.scratch + job.scratch + (size_t)tile * job.groups * TILE + threadIdx.x;
        __stcg(partial + group * TILE, sum);
        if (!last_block(launch.counters + job.counter + tile, job.groups)) {
            return;
        }
        sum = 0.0f;
        for (unsigned int g = 0; g < job.groups; g++) {
            sum += __ldcg(partial + g * TILE);
        }
    }
    if (exists) {
        space_start(launch, step.out_space)[result.offset] = finish_sum(step, result, sum);
    }
}
