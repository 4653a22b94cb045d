#include "settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <thread>

namespace standin {
namespace {

const char* variable(const char* name) {
    const char* value = getenv(name);
    return value == nullptr || *value == 0 ? nullptr : value;
}

[[noreturn]] void refuse(const char* name, const char* value, const char* wanted) {
    say("%s=%s: expected %s", name, value, wanted);
    _exit(64);
}

uint64_t number(const char* name, uint64_t otherwise) {
    const char* value = variable(name);
    if (value == nullptr) return otherwise;
    char* end;
    uint64_t result = strtoull(value, &end, 10);
    if (*end != 0 || *value == '-') refuse(name, value, "a number");
    return result;
}

Settings read() {
    Settings s;
    if (const char* order = variable("STANDIN_ORDER")) {
        if (strcmp(order, "forward") == 0) {
            s.order = Order::forward;
        } else if (strcmp(order, "backward") == 0) {
            s.order = Order::backward;
        } else if (strncmp(order, "random:", 7) == 0) {
            char* end;
            s.order = Order::random;
            s.seed = strtoull(order + 7, &end, 10);
            if (*end != 0) refuse("STANDIN_ORDER", order, "forward, backward or random:SEED");
        } else {
            refuse("STANDIN_ORDER", order, "forward, backward or random:SEED");
        }
    }
    if (const char* cc = variable("STANDIN_CC"))
        if (sscanf(cc, "%d.%d", &s.major, &s.minor) != 2) refuse("STANDIN_CC", cc, "MAJOR.MINOR");
    unsigned cores = std::thread::hardware_concurrency();
    s.threads = unsigned(number("STANDIN_THREADS", cores == 0 ? 1 : cores));
    if (s.threads == 0) s.threads = 1;
    s.poison_shared = number("STANDIN_POISON_SHARED", 1) != 0;
    s.lazy = number("STANDIN_LAZY", 0) != 0;
    s.skip_kernels = number("STANDIN_SKIP_KERNELS", 0) != 0;
    s.devices = int(number("STANDIN_DEVICES", 1));
    // As in the real driver, an empty list hides every device.
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    if (visible && !*visible) {
        s.devices = 0;
    }
    s.multiprocessors = int(number("STANDIN_SMS", uint64_t(s.multiprocessors)));
    s.memory = number("STANDIN_MEMORY", s.memory);
    s.fault = number("STANDIN_FAULT", 0);
    s.timeout = unsigned(number("STANDIN_TIMEOUT", s.timeout));
    if (const char* count = variable("STANDIN_COUNT")) s.count = count;
    if (const char* cache = variable("STANDIN_CACHE")) s.cache = cache;
    if (const char* engine = variable("STANDIN_SM90_ENGINE")) s.sm90_engine = engine;
    return s;
}

}  // namespace

const Settings& settings() {
    static const Settings s = read();
    return s;
}

void say(const char* format, ...) {
    char line[1024];
    int used = snprintf(line, sizeof(line), "stand-in: ");
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(line + used, sizeof(line) - size_t(used) - 1, format, arguments);
    va_end(arguments);
    used += more < 0 ? 0 : more;
    if (size_t(used) > sizeof(line) - 2) used = sizeof(line) - 2;
    for (int i = 0; i < used; ++i)
        if (line[i] == '\n') line[i] = ' ';
    line[used] = '\n';
    // One write, so that lines of several threads do not interleave.
    if (write(2, line, size_t(used) + 1) < 0) return;
}

}  // namespace standin
