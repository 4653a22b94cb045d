// The text of machine code: what nvdisasm prints, instruction by instruction.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "cubin.h"

namespace standin::sm90 {

struct Place {
    u32 section = 0;
    u32 address = 0;
};

struct TextInstruction {
    Place place;
    std::string guard;                    // "", "P0", "!UP1"
    std::string name;                     // "LDG"
    std::vector<std::string> modifiers;   // "E", "64"
    std::vector<std::string> operands;
    std::string text;                     // all of it
    u64 low = 0, high = 0;                // its encoding
    u32 line = 0;                         // index in `lines`
};

struct SourceLine {
    std::string file;
    unsigned line;
};

struct Disassembly {
    std::vector<std::string> sections;
    std::vector<TextInstruction> instructions;
    std::map<std::string, Place> labels;
    std::vector<SourceLine> lines;        // the first one is "unknown"
};

// Runs the nvdisasm in `folder`, or takes its output from the cache. Throws std::runtime_error.
Disassembly disassemble(const Cubin& cubin, const std::string& folder, const std::string& cache);

}  // namespace standin::sm90
