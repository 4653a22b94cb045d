// conv2d_small: convolutions with few positions (one image, small maps), where time is latency.
//
// A thread sums one slice of one position by SMALL_CHANNELS channels, with all its loads in flight at once. The
// host divides a block's threads among positions, groups of channels and the slices of one group. The weights,
// which the positions share, are copied to shared memory, and before the level's inputs are ready; the slices' sums pass
// through shared memory, too. Where a sum has several groups, each is a block of its own, and the last one to
// finish a tile adds them.

#define SMALL_CHANNELS 8
// Floats of shared memory from the weights of one slice and group of channels to the next: other banks.
#define SMALL_WEIGHTS (SLICE * SMALL_CHANNELS + 4)

// Floats of shared memory from one slice's sums to the next: threads with adjacent indices write to different banks.
__device__ __forceinline__ unsigned int sums_row(unsigned int columns) {
    return SMALL_CHANNELS * columns + (32 - SMALL_CHANNELS + 1) * columns % 32;
}

// Copies the weights of this thread's slice and group of channels. Two of its pixel lanes, of which there are at least
// two, copy one term.
__device__ __forceinline__ void copy_weights(const Conv& k, const Slice& slice, int terms, int channel,
                                             unsigned int pixel_lane, float* to) {
    const int half = 4 * (pixel_lane % 2), step = k.pixel_lanes / 2;
    int term = pixel_lane / 2;
    const float* from = k.weight + (unsigned int)((slice.tap * k.in_c + slice.channel + term) * k.weight_row + channel + half);
    terms = channel < k.weight_row ? terms : 0;
    to += term * SMALL_CHANNELS + half;
#pragma unroll 2
    for (term = term < step ? term : SLICE; term < SLICE; term += step) {
        copy_async<4>(to, from, term < terms);
        from = element(from, step, k.weight_row);
        to += step * SMALL_CHANNELS;
    }
    commit_copies();
}

// What finishes the result of `channel`, if there is one.
__device__ __forceinline__ float read_extra(const Conv& k, const Finish& finish, int channel, int end) {
    return channel < end ? *element(finish.extra, channel, k.extra_plane) : 0.0f;
}

__device__ __forceinline__ void conv2d_small(const Launch& launch, const Conv& k, unsigned int block, float* shared) {
    const unsigned int tile = divide(block, k.by_groups), group = block - tile * k.by_groups.divisor;
    const unsigned int tile_row = divide(tile, k.by_across);
    const int first_channel = (tile - tile_row * k.by_across.divisor) * (SMALL_CHANNELS * k.channel_lanes);

    // Lanes along pixels, then channels, then slices.
    const unsigned int row_of_lanes = threadIdx.x * k.by_pixel_lanes >> 16;
    const unsigned int pixel_lane = threadIdx.x - row_of_lanes * k.pixel_lanes;
    const unsigned int slice_lane = row_of_lanes * k.by_channel_lanes >> 16;
    const unsigned int channel_lane = row_of_lanes - slice_lane * k.channel_lanes;
    const unsigned int columns = k.pixel_lanes * k.channel_lanes;
    // At least one, also where a sum has no terms.
    const unsigned int lanes = k.group;
    const bool works = slice_lane < lanes;

    // The terms of this thread's slice.
    const unsigned int slice_number = group * k.group + slice_lane;
    const Slice slice = slice_at(k, slice_number);
    const int terms = works && slice_number < k.slices ? min(SLICE, k.in_c - slice.channel) : 0;
    const int channel = first_channel + SMALL_CHANNELS * channel_lane;
    if (works) {
        copy_weights(k, slice, terms, channel, pixel_lane, shared + row_of_lanes * SMALL_WEIGHTS);
    }
    const unsigned int number = tile_row * k.pixel_lanes + pixel_lane;
    const bool exists = works && number < k.pixels;
    const Position position = position_at(launch, k, exists ? number : 0);
    const int row = k.row_first + k.row_step * position.row + k.row_turn * slice.u;
    const int column = k.column_first + k.column_step * position.column + k.column_turn * slice.v;
    const bool inside = (unsigned int)row < (unsigned int)k.in_h && (unsigned int)column < (unsigned int)k.in_w;
    const int values = exists && inside ? terms : 0;
    const float* in = k.input + (unsigned int)(position.image * k.in_stride + slice.channel * k.in_plane + row * k.in_w + column);
    // A thread finishes the channels of its group from the number of its slice on, one for each slice of the group.
    const Finish finish = finish_of(k, position);
    const int end = exists ? min(k.out_c, channel + SMALL_CHANNELS) : 0;

    wait_for_earlier_levels();
    float value[SLICE];
#pragma unroll
    for (int i = 0; i < SLICE; i++) {
        value[i] = i < values ? *element(in, i, k.in_plane) : 0.0f;
    }
    float extra = read_extra(k, finish, channel + slice_lane, end);
    float next_extra = read_extra(k, finish, channel + slice_lane + lanes, end);
    // The loads are requested before the copies are waited for.
    __syncwarp();
    wait_for_copies<0>();
    __syncthreads();

    // The tile's sums: slices by channels of a group by columns of threads.
    const unsigned int row_of_sums = sums_row(columns);
    float* sums = shared + lanes * k.channel_lanes * SMALL_WEIGHTS + (threadIdx.x - slice_lane * columns);
    if (works) {
        const float* weights = shared + row_of_lanes * SMALL_WEIGHTS;
        float sum[SMALL_CHANNELS];
#pragma unroll
        for (int n = 0; n < SMALL_CHANNELS; n++) {
            sum[n] = 0.0f;
        }
#pragma unroll
        for (int i = 0; i < SLICE; i++) {
#pragma unroll
            for (int n = 0; n < SMALL_CHANNELS; n += 4) {
                const float4 w = *(const float4*)(weights + i * SMALL_CHANNELS + n);
                sum[n + 0] = fmaf(value[i], w.x, sum[n + 0]);
                sum[n + 1] = fmaf(value[i], w.y, sum[n + 1]);
                sum[n + 2] = fmaf(value[i], w.z, sum[n + 2]);
                sum[n + 3] = fmaf(value[i], w.w, sum[n + 3]);
            }
        }
#pragma unroll
        for (int n = 0; n < SMALL_CHANNELS; n++) {
            sums[slice_lane * row_of_sums + n * columns] = sum[n];
        }
    }
    __syncthreads();

    int n = slice_lane;
    float total = channel + n < end ? add_in_order<8, false>(sums + n * columns, row_of_sums, lanes) : 0.0f;
    const unsigned int groups = k.by_groups.divisor;
    if (groups > 1) {
        // Groups have at least as many slices as a thread has channels: a thread has one result at most.
        float* partial = k.scratch + (size_t)tile * groups * (SMALL_CHANNELS * columns) + threadIdx.x;
        if (channel + n < end) {
            __stcg(partial + group * (SMALL_CHANNELS * columns), total);
        }
        if (!last_block(k.counters + tile, groups)) {
            return;
        }
        if (channel + n < end) {
            total = add_in_order<8, true>(partial, SMALL_CHANNELS * columns, groups);
        }
    }
#pragma unroll 1
    while (channel + n < end) {
        *element(finish.out, channel + n, k.out_plane) = finish_sum(k, channel + n, extra, total);
        n += lanes;
        extra = next_extra;
        next_extra = read_extra(k, finish, channel + n + lanes, end);
        if (channel + n < end) {
            total = add_in_order<8, false>(sums + n * columns, row_of_sums, lanes);
        }
    }
}
