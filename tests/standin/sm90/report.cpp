// Writing of the report.
#include "report.h"

#include <stdio.h>

#include <map>

#include "options.h"

namespace standin::sm90 {
namespace {

unsigned launches = 0;

std::string number(double x) {
    char text[32];
    snprintf(text, sizeof(text), "%.1f", x);
    return text;
}

std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + "\"";
}

}  // namespace

unsigned next_launch() { return ++launches; }

void write_launch(const Grid& grid, unsigned launch, const LaunchTime& t) {
    const Code& code = grid.module->code;
    std::string out = "{\"launch\": " + std::to_string(launch);
    auto field = [&](const char* name, const std::string& value) { out += ", \"" + std::string(name) + "\": " + value; };
    field("kernel", quoted(grid.kernel->cubin.facts.name));
    field("blocks", std::to_string(grid.blocks));
    field("threads", std::to_string(grid.threads));
    field("registers", std::to_string(grid.kernel->cubin.facts.registers));
    field("resident", std::to_string(t.resident));
    field("cycles", number(t.cycles));
    field("issue_cycles", number(t.issue_cycles));
    field("worst_block", std::to_string(t.worst_block));
    field("instructions", std::to_string(t.instructions));
    field("ffma", std::to_string(t.ffma));
    field("longest_warp", std::to_string(t.longest_warp));
    field("l1_hits", std::to_string(t.traffic.l1_hits));
    field("l1_misses", std::to_string(t.traffic.l1_misses));
    field("constant_misses", std::to_string(t.traffic.constant_misses));
    field("shared_conflicts", std::to_string(t.traffic.shared_conflicts));
    field("sampled", t.sampled ? "true" : "false");
    out += ", \"jobs\": [";
    for (size_t k = 0; k < t.jobs.size(); ++k) {
        const JobTime& j = t.jobs[k];
        out += std::string(k == 0 ? "" : ", ") + "{\"first_block\": " + std::to_string(j.first_block) +
               ", \"blocks\": " + std::to_string(j.blocks) + ", \"run\": " + std::to_string(j.run) +
               ", \"worst\": " + number(j.worst) + ", \"mean\": " + number(j.run == 0 ? 0 : j.sum / j.run) +
               ", \"instructions\": " + std::to_string(j.instructions) + ", \"ffma\": " + std::to_string(j.ffma) +
               ", \"row\": " + quoted(j.row) + "}";
    }
    out += "]";
    if (!t.cycles_at.empty()) {
        std::map<u32, double> by_line;
        for (size_t k = 0; k < t.cycles_at.size(); ++k)
            if (t.cycles_at[k] > 0) by_line[code.instructions[k].line] += t.cycles_at[k];
        out += ", \"lines\": [";
        bool first = true;
        for (const auto& [line, cycles] : by_line) {
            out += std::string(first ? "" : ", ") + "[" + quoted(code.lines[line].file) + ", " +
                   std::to_string(code.lines[line].line) + ", " + number(cycles) + "]";
            first = false;
        }
        out += "], \"addresses\": [";
        first = true;
        for (size_t k = 0; k < t.cycles_at.size(); ++k) {
            if (t.cycles_at[k] <= 0) continue;
            out += std::string(first ? "" : ", ") + "[" + std::to_string(code.instructions[k].address) + ", " +
                   quoted(code.texts[code.instructions[k].text]) + ", " + number(t.cycles_at[k]) + "]";
            first = false;
        }
        out += "]";
    }
    out += "}\n";
    FILE* file = fopen(options().report.c_str(), "a");
    if (file == nullptr) throw std::runtime_error("cannot write the report to '" + options().report + "'");
    fwrite(out.data(), 1, out.size(), file);
    fclose(file);
}

}  // namespace standin::sm90
