// Compilation of CUDA C++ text to a shared library, by g++.
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
    std::string library;   // its contents
    std::string path;      // its path in the cache
};

Compiled compile(const Source& source, const Options& options);

}  // namespace standin
