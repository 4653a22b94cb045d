// The numbers of the timing model, read from one file.
#pragma once
#include <string>

namespace standin::sm90 {

// One member for each name in the file; cycles, unless the file says otherwise.
struct Latencies {
    double multiprocessors, clock_ghz, registers_per_multiprocessor, l1_bytes;
    double fma_pipe, imad_pipe, alu_pipe, xu_pipe, convert_pipe, fp64_pipe, uniform_pipe;
    double xu, convert, fp64, shuffle, special_register, uniform_register, redux, imad_wide;
    double global_l1, global_l2, lines_per_wavefront, sectors_per_wavefront, l2_sector, l2_bytes_per_cycle_in_all;
    double shared, atomic, shared_atomic, constant, uniform_constant, constant_miss;
    double source_release, predicated_off;
    double barrier, fence_block, fence_sc, fence_all, cache_control, sleep;
    double branch, indirect_branch;
    double launch_gap_us, fixed_us;
};

// Throws std::runtime_error that names what is missing or not known.
Latencies read_latencies(const std::string& path);

}  // namespace standin::sm90
