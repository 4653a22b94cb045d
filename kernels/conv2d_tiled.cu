// conv2d_tiled: convolutions with many positions (large batches, large maps), where time is arithmetic.
//
// A block owns a tile of positions by channels, a thread 4 * QUADS positions by 4 channels of it. Slice after slice
// of inputs and weights passes through shared memory, whose copies are two slices ahead of the sums. In
// shared memory the values of four adjacent positions (or channels) and one slice are together, with
// padding between the quads: the inner loop has no address arithmetic and no bank conflicts.
//
// Where the launch would not fill the GPU, each group of slices is a block of its own, and the last one to
// finish a tile adds them.

// Flags of Conv::tiled: four adjacent positions are read, and written, as one vector; one or two quads a thread.
#define TILED_READS_VECTORS 1
#define TILED_WRITES_VECTORS 2
#define TILED_TWO_QUADS 4
// Channels of a thread.
#define TILED_CHANNELS 4
// Floats from one quad to the next.
#define QUAD (4 * SLICE + 4)
#define STAGES 3

// A unit of pixels that this thread copies: its address under window tap (0, 0), and where that is.
struct Source {
    const float* in;
    int row;
    int column;
};

// The copies of one thread: up to SOURCES units of pixels, and for each some quarters of a slice's channels.
template <int SOURCES>
struct Copies {
    Source source[SOURCES];
    unsigned int unit;
    int first_quarter;
    int end_quarter;
};

template <int SOURCES>
__device__ __forceinline__ Copies<SOURCES> make_copies(const Launch& launch, const Conv& k, unsigned int first_pixel) {
    Copies<SOURCES> copies;
    const unsigned int width = k.tiled & TILED_READS_VECTORS ? 4 : 1;
    // Where there are few units, two or four threads share one.
    const unsigned int units = k.by_units.divisor, part = divide(threadIdx.x, k.by_units);
    const unsigned int parts = units <= THREADS / 4 ? 4 : units <= THREADS / 2 ? 2 : 1;
    copies.unit = threadIdx.x - part * units;
    copies.first_quarter = 4 * part / parts;
    copies.end_quarter = part < parts ? 4 * (part + 1) / parts : copies.first_quarter;
#pragma unroll
    for (int j = 0; j < SOURCES; j++) {
        const unsigned int number = first_pixel + width * (copies.unit + THREADS * j);
        const bool exists = number < k.pixels && copies.unit + THREADS * j < units;
        const Position position = position_at(launch, k, exists ? number : 0);
        const int row = k.row_first + k.row_step * position.row, column = k.column_first + k.column_step * position.column;
        copies.source[j].in = k.input + (int)(position.image * k.in_stride + row * k.in_w + column);
        copies.source[j].row = exists ? row : OUTSIDE;
        copies.source[j].column = column;
    }
    return copies;
}

// Four channels of one unit of pixels, of which `count` exist.
template <int WIDTH>
__device__ __forceinline__ void copy_quarter(const Conv& k, float* to, const float* from, bool inside, int count) {
    if (count >= 4) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            copy_async<WIDTH>(to + 4 * i, element(from, i, k.in_plane), inside);
        }
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            copy_async<WIDTH>(to + 4 * i, element(from, i, k.in_plane), inside && i < count);
        }
    }
}

// Starts the copies of one slice to a stage of shared memory: pixels, then weights; zeros up to the end of the
// quarter in which the slice ends.
template <int SOURCES>
__device__ __forceinline__ void copy_slice(const Conv& k, const Copies<SOURCES>& copies, const Slice& slice,
                                           int first_channel, int pixel_lane, int channel_lane, float* pixels,
                                           float* weights) {
    const int terms = min(SLICE, k.in_c - slice.channel);
    const int down = k.row_turn * slice.u, right = k.column_turn * slice.v;
    const int first = down * k.in_w + right + (slice.channel + 4 * copies.first_quarter) * k.in_plane;
    const bool vectors = k.tiled & TILED_READS_VECTORS;
#pragma unroll
    for (int j = 0; j < SOURCES; j++) {
        const unsigned int unit = copies.unit + THREADS * j;
        if (unit < k.by_units.divisor) {
            const bool inside = (unsigned int)(copies.source[j].row + down) < (unsigned int)k.in_h &&
                                (unsigned int)(copies.source[j].column + right) < (unsigned int)k.in_w;
            const float* from = copies.source[j].in + first;
            float* to = pixels + (vectors ? unit * QUAD : unit / 4 * QUAD + unit % 4) + 16 * copies.first_quarter;
#pragma unroll 1
            for (int quarter = copies.first_quarter; quarter < copies.end_quarter && 4 * quarter < terms; quarter++) {
                if (vectors) {
                    copy_quarter<4>(k, to, from, inside, terms - 4 * quarter);
                } else {
                    copy_quarter<1>(k, to, from, inside, terms - 4 * quarter);
                }
                to += 16;
                from = element(from, 4, k.in_plane);
            }
        }
    }
    if (pixel_lane < SLICE) {
        const int channel = first_channel + TILED_CHANNELS * channel_lane;
        const float* from = k.weight + (slice.tap * k.in_c + slice.channel + pixel_lane) * k.weight_row + channel;
        copy_async<4>(weights + channel_lane * QUAD + 4 * pixel_lane, from, pixel_lane < terms && channel < k.weight_row);
    }
    commit_copies();
}

__device__ __forceinline__ void next_slice(const Conv& k, Slice& slice) {
    slice.channel += SLICE;
    if (slice.channel >= k.in_c) {
        slice.channel = 0;
        slice.tap++;
        if (++slice.v == (int)k.by_width.divisor) {
            slice.v = 0;
            slice.u++;
        }
    }
}

// Finishes one channel of four adjacent positions.
__device__ __forceinline__ void write_vector(const Conv& k, const Finish& finish, int channel, const float (&sum)[4]) {
    const float* from = element(finish.extra, channel, k.extra_plane);
    float4 extra, four;
    if (k.extra_step == 0) {
        const float bias = __ldg(from);
        extra = make_float4(bias, bias, bias, bias);
    } else {
        extra = __ldg((const float4*)from);
    }
    four.x = finish_sum(k.finish, extra.x, sum[0]);
    four.y = finish_sum(k.finish, extra.y, sum[1]);
    four.z = finish_sum(k.finish, extra.z, sum[2]);
    four.w = finish_sum(k.finish, extra.w, sum[3]);
    *(float4*)element(finish.out, channel, k.out_plane) = four;
}

template <int QUADS>
__device__ __forceinline__ void conv2d_tiled(const Launch& launch, const Conv& conv, unsigned int block, float* shared) {
    // In registers: a copy to shared memory may change all memory, as far as the compiler knows.
    const Conv k = conv;
    wait_for_earlier_levels();
    const unsigned int blocks_of_tile = k.by_groups.divisor;
    const unsigned int tile = divide(block, k.by_groups), group = block - tile * blocks_of_tile;
    const unsigned int tile_row = divide(tile, k.by_across);
    // Lanes along channels, then pixels.
    const int pixel_lanes = k.pixel_lanes, channel_lanes = k.channel_lanes;
    const int pixel_lane = threadIdx.x * k.by_channel_lanes >> 16, channel_lane = threadIdx.x - pixel_lane * channel_lanes;
    const int first_channel = (tile - tile_row * k.by_across.divisor) * (TILED_CHANNELS * channel_lanes);
    const unsigned int first_pixel = tile_row * (4 * QUADS * pixel_lanes);
    const bool works = pixel_lane < pixel_lanes;

    const unsigned int first = group * k.group, end = blocks_of_tile > 1 ? min(first + k.group, k.slices) : k.slices;
    const int pixels_stage = QUADS * pixel_lanes * QUAD, stage = pixels_stage + channel_lanes * QUAD;
    const Copies<2 * QUADS> copies = make_copies<2 * QUADS>(launch, k, first_pixel);
    Slice slice = slice_at(k, first);
    unsigned int copied = first;
    // The chunk of channels of the next slice that is summed.
    int summed = slice.channel / SLICE;
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (copied < end) {
            float* to = shared + s * stage;
            copy_slice<2 * QUADS>(k, copies, slice, first_channel, pixel_lane, channel_lane, to, to + pixels_stage);
            next_slice(k, slice);
            copied++;
        } else {
            commit_copies();
        }
    }
    float total[QUADS][TILED_CHANNELS][4], sum[QUADS][TILED_CHANNELS][4];
#pragma unroll
    for (int q = 0; q < QUADS; q++) {
#pragma unroll
        for (int p = 0; p < 4; p++) {
#pragma unroll
            for (int n = 0; n < TILED_CHANNELS; n++) {
                total[q][n][p] = sum[q][n][p] = 0.0f;
            }
        }
    }
    int at = 0, next = STAGES - 1;
    unsigned int group_end = first + k.group;
    for (unsigned int s = first; s < end; s++) {
        wait_for_copies<STAGES - 2>();
        __syncthreads();
        if (copied < end) {
            float* to = shared + next * stage;
            copy_slice<2 * QUADS>(k, copies, slice, first_channel, pixel_lane, channel_lane, to, to + pixels_stage);
            next_slice(k, slice);
            copied++;
        } else {
            commit_copies();
        }
        const float* x = shared + at * stage + (works ? pixel_lane : 0) * QUAD;
        const float* w = shared + at * stage + pixels_stage + channel_lane * QUAD;
        float part[QUADS][TILED_CHANNELS][4];
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
#pragma unroll
            for (int n = 0; n < TILED_CHANNELS; n++) {
#pragma unroll
                for (int p = 0; p < 4; p++) {
                    part[q][n][p] = 0.0f;
                }
            }
        }
        const int terms = min(SLICE, k.in_c - summed * SLICE);
        summed = summed + 1 == (int)k.by_chunks.divisor ? 0 : summed + 1;
#pragma unroll
        for (int quarter = 0; quarter < SLICE / 4; quarter++) {
            // The same for all threads. What a slice lacks of a whole quarter are zeros.
            if (4 * quarter < terms) {
#pragma unroll
                for (int i = 4 * quarter; i < 4 * quarter + 4; i++) {
                    const float4 four = *(const float4*)(w + 4 * i);
                    const float weight[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
                    for (int q = 0; q < QUADS; q++) {
                        const float4 pixel = *(const float4*)(x + q * pixel_lanes * QUAD + 4 * i);
                        const float value[4] = {pixel.x, pixel.y, pixel.z, pixel.w};
#pragma unroll
                        for (int p = 0; p < 4; p++) {
#pragma unroll
                            for (int n = 0; n < TILED_CHANNELS; n++) {
                                part[q][n][p] = fmaf(value[p], weight[n], part[q][n][p]);
                            }
                        }
                    }
                }
            }
        }
        const bool group_ends = s + 1 == group_end || s + 1 == end;
        group_end += group_ends ? k.group : 0;
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
#pragma unroll
            for (int p = 0; p < 4; p++) {
#pragma unroll
                for (int n = 0; n < TILED_CHANNELS; n++) {
                    sum[q][n][p] += part[q][n][p];
                    if (group_ends) {
                        total[q][n][p] += sum[q][n][p];
                        sum[q][n][p] = 0.0f;
                    }
                }
            }
        }
        at = at + 1 == STAGES ? 0 : at + 1;
        next = next + 1 == STAGES ? 0 : next + 1;
    }
    if (blocks_of_tile > 1) {
        const unsigned int results = 4 * QUADS * TILED_CHANNELS * THREADS;
        float* partial = k.scratch + (size_t)tile * blocks_of_tile * results + 4 * threadIdx.x;
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
#pragma unroll
            for (int n = 0; n < TILED_CHANNELS; n++) {
                const float4 four = make_float4(total[q][n][0], total[q][n][1], total[q][n][2], total[q][n][3]);
                __stcg((float4*)(partial + group * results + (q * TILED_CHANNELS + n) * 4 * THREADS), four);
            }
        }
        if (!last_block(k.counters + tile, blocks_of_tile)) {
            return;
        }
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
#pragma unroll
            for (int n = 0; n < TILED_CHANNELS; n++) {
                float4 all = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll 1
                for (unsigned int g = 0; g < blocks_of_tile; g++) {
                    const float4 four = __ldcg((const float4*)(partial + g * results + (q * TILED_CHANNELS + n) * 4 * THREADS));
                    all.x += four.x;
                    all.y += four.y;
                    all.z += four.z;
                    all.w += four.w;
                }
                total[q][n][0] = all.x;
                total[q][n][1] = all.y;
                total[q][n][2] = all.z;
                total[q][n][3] = all.w;
            }
        }
    }
    if (!works) {
        return;
    }
    const int channel = first_channel + TILED_CHANNELS * channel_lane;
    const int channels = min(TILED_CHANNELS, k.out_c - channel);
#pragma unroll
    for (int q = 0; q < QUADS; q++) {
        const unsigned int number = first_pixel + 4 * (pixel_lane + q * pixel_lanes);
        if (k.tiled & TILED_WRITES_VECTORS) {
            if (number < k.pixels) {
                const Finish finish = finish_of(k, position_at(launch, k, number));
#pragma unroll
                for (int n = 0; n < TILED_CHANNELS; n++) {
                    if (n < channels) {
                        write_vector(k, finish, channel + n, total[q][n]);
                    }
                }
            }
        } else {
#pragma unroll
            for (int p = 0; p < 4; p++) {
                if (number + p < k.pixels) {
                    const Finish finish = finish_of(k, position_at(launch, k, number + p));
#pragma unroll
                    for (int n = 0; n < TILED_CHANNELS; n++) {
                        if (n < channels) {
                            const float extra = __ldg(element(finish.extra, channel + n, k.extra_plane));
                            *element(finish.out, channel + n, k.out_plane) = finish_sum(k.finish, extra, total[q][n][p]);
                        }
                    }
                }
            }
        }
    }
}
