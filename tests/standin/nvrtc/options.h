// NVRTC's options, as far as they apply on a CPU.
#pragma once
#include <string>
#include <vector>

namespace standin {

struct Options {
    int arch = 75;                       // sm_XX; NVRTC's own default differs by version
    bool real_arch = false;              // sm_XX rather than compute_XX: there is a CUBIN
    bool fmad = true;
    bool fast_math = false;
    std::string standard = "c++17";
    std::vector<std::string> defines, include_paths, pre_includes;
    bool line_info = false;
};

// False for an option that NVRTC does not have, named in `error`.
bool parse_options(const std::vector<std::string>& arguments, Options* options, std::string* error);

}  // namespace standin
