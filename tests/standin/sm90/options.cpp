// Reading of the environment.
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <stdexcept>

namespace standin::sm90 {
namespace {

std::string variable(const char* name) {
    const char* value = getenv(name);
    return value == nullptr ? "" : value;
}

Options read() {
    Options o;
    o.nvdisasm = variable("STANDIN_SM90");
    o.cache = variable("STANDIN_CACHE");
    o.report = variable("STANDIN_SM90_REPORT");
    o.latencies = variable("STANDIN_SM90_LATENCIES");
    std::string jobs = variable("STANDIN_SM90_JOBS"), sample = variable("STANDIN_SM90_SAMPLE");
    std::string lines = variable("STANDIN_SM90_LINES");
    if (!jobs.empty()) {
        char end;
        if (sscanf(jobs.c_str(), "%u,%u,%u,%u%c", &o.jobs.first_blocks, &o.jobs.most, &o.jobs.jobs, &o.jobs.stride, &end) != 4)
            throw std::runtime_error("STANDIN_SM90_JOBS=" + jobs + ": expected FIRST_BLOCKS,MOST,JOBS,STRIDE");
        o.jobs.known = true;
    }
    if (!sample.empty()) o.sample = unsigned(strtoul(sample.c_str(), nullptr, 10));
    o.all_lines = lines == "all";
    if (!o.all_lines)
        for (const char* p = lines.c_str(); *p != 0;) {
            char* end;
            o.lines.push_back(unsigned(strtoul(p, &end, 10)));
            if (end == p) throw std::runtime_error("STANDIN_SM90_LINES=" + lines + ": expected all, or numbers");
            p = *end == ',' ? end + 1 : end;
        }
    return o;
}

}  // namespace

const Options& options() {
    static const Options o = read();
    return o;
}

}  // namespace standin::sm90
