// The two ways to run a launch.
#pragma once
#include <mutex>

#include "grid.h"

namespace standin::sm90 {

// The first fault of a launch.
struct FaultRecord {
    std::mutex mutex;
    LaunchResult result;

    bool failed();
    void record(const Grid& grid, const Context& c, const Fault& fault);
    void record(Failure failure, const std::string& text);
};

// Results only: blocks in the requested order, spread over host threads.
void run_for_results(Grid& grid, FaultRecord& fault);
// Results and predicted time: all multiprocessors in one order of time, and a record in the report.
void run_for_time(Grid& grid, FaultRecord& fault);

}  // namespace standin::sm90
