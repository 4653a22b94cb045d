// Reading of the file of latencies: a name and a number a line, and comments from # on.
#include "latencies.h"

#include <stdio.h>

#include <map>
#include <stdexcept>

namespace standin::sm90 {

Latencies read_latencies(const std::string& path) {
    Latencies l;
#define NAME(x) {#x, &l.x}
    std::map<std::string, double*> names = {
        NAME(multiprocessors), NAME(clock_ghz), NAME(registers_per_multiprocessor), NAME(l1_bytes), NAME(fma_pipe),
        NAME(imad_pipe), NAME(alu_pipe), NAME(xu_pipe), NAME(convert_pipe), NAME(fp64_pipe), NAME(uniform_pipe), NAME(xu),
        NAME(convert), NAME(fp64), NAME(shuffle), NAME(special_register), NAME(uniform_register), NAME(redux),
        NAME(imad_wide), NAME(global_l1), NAME(global_l2), NAME(lines_per_wavefront), NAME(sectors_per_wavefront),
        NAME(l2_sector), NAME(l2_bytes_per_cycle_in_all), NAME(shared), NAME(atomic), NAME(shared_atomic), NAME(constant),
        NAME(uniform_constant), NAME(constant_miss), NAME(source_release), NAME(predicated_off), NAME(barrier),
        NAME(fence_block), NAME(fence_sc), NAME(fence_all), NAME(cache_control), NAME(sleep), NAME(branch),
        NAME(indirect_branch), NAME(launch_gap_us), NAME(fixed_us),
    };
#undef NAME
    FILE* file = fopen(path.c_str(), "r");
    if (file == nullptr) throw std::runtime_error("no latencies: cannot read '" + path + "'");
    char line[1024];
    std::string problem;
    while (fgets(line, sizeof(line), file) != nullptr) {
        char name[64];
        double value;
        if (sscanf(line, " %63[a-z0-9_] %lf", name, &value) != 2) {
            char first = 0;
            if (sscanf(line, " %c", &first) == 1 && first != '#') problem = std::string("a line that is not read: ") + line;
            continue;
        }
        auto found = names.find(name);
        if (found == names.end()) {
            problem = std::string("'") + name + "' is not known";
            continue;
        }
        *found->second = value;
        names.erase(found);
    }
    fclose(file);
    if (!names.empty()) problem = "'" + names.begin()->first + "' is missing";
    if (!problem.empty()) throw std::runtime_error(path + ": " + problem);
    return l;
}

}  // namespace standin::sm90
