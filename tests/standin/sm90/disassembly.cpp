// Running nvdisasm and reading what it prints.
#include "disassembly.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

namespace standin::sm90 {
namespace {

u64 hash_of(const std::vector<u8>& bytes) {
    u64 h = 0xcbf29ce484222325ull;
    for (u8 b : bytes) h = (h ^ b) * 0x100000001b3ull;
    return h;
}

std::string contents(const std::string& path) {
    std::string text;
    FILE* file = fopen(path.c_str(), "rb");
    if (file == nullptr) return text;
    char chunk[65536];
    while (size_t got = fread(chunk, 1, sizeof(chunk), file)) text.append(chunk, got);
    fclose(file);
    return text;
}

// The output for a cubin, kept beside the other compiled files of the stand-in.
std::string output(const Cubin& cubin, const std::string& folder, const std::string& cache) {
    char key[32];
    snprintf(key, sizeof(key), "%016llx", (unsigned long long)hash_of(cubin.bytes));
    std::string stem = (cache.empty() ? std::string(P_tmpdir) : cache) + "/sm90-" + key;
    std::string kept = stem + ".sass";
    std::string text = contents(kept);
    if (!text.empty()) return text;
    std::string mine = stem + "-" + std::to_string(getpid());
    FILE* file = fopen((mine + ".cubin").c_str(), "wb");
    if (file == nullptr) throw std::runtime_error("cannot write " + mine + ".cubin");
    bool good = fwrite(cubin.bytes.data(), 1, cubin.bytes.size(), file) == cubin.bytes.size();
    if (fclose(file) != 0 || !good) throw std::runtime_error("cannot write " + mine + ".cubin");
    // nvdisasm is a program of the host: without what the stand-in preloads.
    std::string command = "LD_PRELOAD= '" + folder + "/nvdisasm' -c -hex -g '" + mine + ".cubin' >'" + mine + ".sass'";
    int code = system(command.c_str());
    unlink((mine + ".cubin").c_str());
    text = contents(mine + ".sass");
    if (code != 0 || text.empty()) {
        unlink((mine + ".sass").c_str());
        throw std::runtime_error("'" + folder + "/nvdisasm' failed");
    }
    rename((mine + ".sass").c_str(), kept.c_str());
    return text;
}

std::string trimmed(const std::string& s) {
    size_t first = s.find_first_not_of(" \t"), last = s.find_last_not_of(" \t");
    return first == std::string::npos ? "" : s.substr(first, last - first + 1);
}

// The text without (*"comments"*).
std::string without_comments(std::string s) {
    for (size_t at; (at = s.find("(*")) != std::string::npos;) {
        size_t end = s.find("*)", at);
        s.erase(at, end == std::string::npos ? std::string::npos : end + 2 - at);
    }
    return trimmed(s);
}

void split(TextInstruction& i, std::string text) {
    text = without_comments(text);
    i.text = text;
    if (text[0] == '@') {
        size_t space = text.find(' ');
        i.guard = text.substr(1, space - 1);
        text = trimmed(text.substr(space));
    }
    size_t space = text.find(' ');
    std::string opcode = text.substr(0, space), rest = space == std::string::npos ? "" : trimmed(text.substr(space));
    size_t from = 0;
    for (bool first = true; from <= opcode.size(); first = false) {
        size_t dot = std::min(opcode.find('.', from), opcode.size());
        std::string part = opcode.substr(from, dot - from);
        if (first)
            i.name = part;
        else
            i.modifiers.push_back(part);
        from = dot + 1;
    }
    int depth = 0;
    std::string operand;
    for (char c : rest) {
        if (c == '[' || c == '(' || c == '{') ++depth;
        if (c == ']' || c == ')' || c == '}') --depth;
        if (c == ',' && depth == 0) {
            i.operands.push_back(trimmed(operand));
            operand.clear();
        } else {
            operand += c;
        }
    }
    if (!trimmed(operand).empty()) i.operands.push_back(trimmed(operand));
}

}  // namespace

Disassembly disassemble(const Cubin& cubin, const std::string& folder, const std::string& cache) {
    std::string text = output(cubin, folder, cache);
    Disassembly d;
    d.lines.push_back({"", 0});
    std::map<std::pair<std::string, unsigned>, u32> line_numbers;
    std::vector<std::string> pending;
    u32 line = 0;
    bool want_second_half = false;
    size_t at = 0;
    while (at < text.size()) {
        size_t end = std::min(text.find('\n', at), text.size());
        std::string row = trimmed(text.substr(at, end - at));
        at = end + 1;
        if (row.rfind(".section", 0) == 0) {
            size_t name = row.find(".text.");
            if (name == std::string::npos) continue;
            size_t stop = row.find_first_of(",\t \"", name);
            d.sections.push_back(row.substr(name, stop - name));
            line = 0;
        } else if (row.rfind("//## File", 0) == 0) {
            size_t open = row.find('"'), close = row.find('"', open + 1), number = row.find(", line ", close);
            if (open == std::string::npos || number == std::string::npos) continue;
            std::string file = row.substr(open + 1, close - open - 1);
            file = file.substr(file.rfind('/') + 1);
            auto key = std::make_pair(file, unsigned(atoi(row.c_str() + number + 7)));
            auto [found, is_new] = line_numbers.emplace(key, u32(d.lines.size()));
            if (is_new) d.lines.push_back({key.first, key.second});
            line = found->second;
        } else if (row.rfind("/* 0x", 0) == 0) {
            if (want_second_half) d.instructions.back().high = strtoull(row.c_str() + 5, nullptr, 16);
            want_second_half = false;
        } else if (row.rfind("/*", 0) == 0 && isxdigit(row[2])) {
            size_t close = row.find("*/"), code = row.rfind("/* 0x");
            if (code == std::string::npos || close >= code || d.sections.empty()) continue;
            TextInstruction i;
            i.place = {u32(d.sections.size() - 1), u32(strtoul(row.c_str() + 2, nullptr, 16))};
            i.low = strtoull(row.c_str() + code + 5, nullptr, 16);
            i.line = line;
            size_t semicolon = row.rfind(';', code);
            split(i, row.substr(close + 2, (semicolon == std::string::npos ? code : semicolon) - close - 2));
            for (const auto& label : pending) d.labels[label] = i.place;
            pending.clear();
            d.instructions.push_back(std::move(i));
            want_second_half = true;
        } else if (!row.empty() && row.back() == ':' && !d.sections.empty()) {
            pending.push_back(row.substr(0, row.size() - 1));
        }
    }
    if (d.instructions.empty()) throw std::runtime_error("nvdisasm prints no instructions");
    return d;
}

}  // namespace standin::sm90
