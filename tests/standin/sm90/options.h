// Settings of the engine from the environment. Read once.
#pragma once
#include <string>
#include <vector>

namespace standin::sm90 {

// Where a launch's parameters say which block begins which job, in bytes; without jobs, a launch is one.
struct JobTable {
    bool known = false;
    unsigned first_blocks = 0, most = 0, jobs = 0, stride = 0;
};

struct Options {
    std::string nvdisasm;       // STANDIN_SM90: the folder of nvdisasm
    std::string cache;          // STANDIN_CACHE
    std::string report;         // STANDIN_SM90_REPORT: a file; without it there is no timing
    std::string latencies;      // STANDIN_SM90_LATENCIES: a file
    JobTable jobs;              // STANDIN_SM90_JOBS=FIRST_BLOCKS,MOST,JOBS,STRIDE
    unsigned sample = 0;        // STANDIN_SM90_SAMPLE: blocks of each job that are run; 0: all
    bool all_lines = false;     // STANDIN_SM90_LINES: the launches whose cycles are wanted by source line,
    std::vector<unsigned> lines;   // "all" or "3,7", from 1
};

// Throws std::runtime_error for an invalid setting.
const Options& options();

}  // namespace standin::sm90
