#include "counts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"
#include "settings.h"

namespace standin {
namespace {

std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + "\"";
}

void write() {
    std::string path = settings().count;
    size_t at = path.find("%p");
    if (at != std::string::npos) path.replace(at, 2, std::to_string(getpid()));
    std::string text = counts().json();
    FILE* file = fopen(path.c_str(), "w");
    if (file == nullptr || fwrite(text.data(), 1, text.size(), file) != text.size())
        say("cannot write the counts to %s", path.c_str());
    if (file != nullptr) fclose(file);
}

}  // namespace

Counts& counts() {
    static auto* all = new Counts;
    return *all;
}

void Counts::allocated(size_t bytes, size_t live) {
    ++allocations;
    if (live > peak_bytes) peak_bytes = live;
    if (bytes > largest_allocation) largest_allocation = bytes;
}

std::string Counts::json() const {
    std::string out = "{\n  \"kernels\": {";
    bool first = true;
    for (const auto& [name, runs] : kernels) {
        out += (first ? "\n    " : ",\n    ") + quoted(name) + ": " + std::to_string(runs);
        first = false;
    }
    out += first ? "}" : "\n  }";
    auto number = [&](const char* name, uint64_t value) {
        out += ",\n  " + quoted(name) + ": " + std::to_string(value);
    };
    auto traffic = [&](const char* name, const Traffic& t) {
        out += ",\n  " + quoted(name) + ": {\"count\": " + std::to_string(t.count) +
               ", \"bytes\": " + std::to_string(t.bytes) + "}";
    };
    number("kernel_launches", kernel_launches);
    number("graph_launches", graph_launches);
    number("graph_instantiations", graph_instantiations);
    traffic("memcpy_host_to_device", host_to_device);
    traffic("memcpy_device_to_host", device_to_host);
    traffic("memcpy_device_to_device", device_to_device);
    traffic("memset", memset);
    number("allocations", allocations);
    number("frees", frees);
    number("live_bytes", memory_used());
    number("peak_bytes", peak_bytes);
    number("largest_allocation", largest_allocation);
    number("host_allocations", host_allocations);
    number("synchronizations", synchronizations);
    number("modules", modules);
    return out + "\n}\n";
}

void write_counts_at_exit() {
    if (settings().count.empty()) return;
    static bool registered = false;
    if (!registered) atexit(write);
    registered = true;
}

}  // namespace standin
