// Turns preprocessed CUDA C++ into C++: `__shared__` variables, and the table
// of kernels that the driver half reads.
#pragma once
#include <string>
#include <vector>

namespace standin {

struct Rewritten {
    std::string source;
    std::string error;      // empty on success
    std::string error_file;
    int error_line = 0;
};

// `names`: the expressions of nvrtcAddNameExpression, kernels that are
// template instances.
Rewritten rewrite(const std::string& preprocessed, const std::vector<std::string>& names);

}  // namespace standin
