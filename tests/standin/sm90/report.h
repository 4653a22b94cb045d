// The report of timed launches: a line of JSON for each.
#pragma once
#include <vector>

#include "multiprocessor.h"

namespace standin::sm90 {

struct JobTime {
    unsigned first_block = 0, blocks = 0, run = 0;
    double worst = 0, sum = 0;         // of the blocks that ran: latest end or longest duration, sum of durations
    u64 instructions = 0, ffma = 0;    // of all blocks, extrapolated from those that ran
    std::string row;                   // the job in the launch's parameters, hexadecimal
};

struct LaunchTime {
    double cycles = 0;
    double issue_cycles = 0;           // if every scheduler issued in every cycle
    unsigned resident = 0, worst_block = 0;
    u64 instructions = 0, ffma = 0, longest_warp = 0;
    Traffic traffic;
    bool sampled = false;
    std::vector<JobTime> jobs;
    std::vector<double> cycles_at;     // of the last warp of the worst block
};

// The number of the next launch, from 1.
unsigned next_launch();
void write_launch(const Grid& grid, unsigned number, const LaunchTime& time);

}  // namespace standin::sm90
