// From CUDA C++ text to a shared library, by way of g++.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "options.h"

namespace standin {

struct Source {
    std::string name, text;
    std::vector<std::pair<std::string, std::string>> headers;   // name, text
    std::vector<std::string> expressions;
};

struct Compiled {
    bool good = false;
    std::string log;
    std::string library;   // its bytes
    std::string path;      // where it is cached
};

Compiled compile(const Source& source, const Options& options);

}  // namespace standin
