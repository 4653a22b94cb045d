// Settings of the stand-in from the environment. Read once.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <string>

namespace standin {

enum class Order { forward, backward, random };

struct Settings {
    Order order = Order::forward;      // STANDIN_ORDER
    uint64_t seed = 0;                 // STANDIN_ORDER=random:SEED
    bool poison_shared = true;         // STANDIN_POISON_SHARED
    bool lazy = false;                 // STANDIN_LAZY
    bool skip_kernels = false;         // STANDIN_SKIP_KERNELS
    unsigned threads = 1;              // STANDIN_THREADS
    int devices = 1;                   // STANDIN_DEVICES
    int major = 9, minor = 0;          // STANDIN_CC
    int multiprocessors = 132;         // STANDIN_SMS
    size_t memory = size_t(16) << 30;  // STANDIN_MEMORY
    uint64_t fault = 0;                // STANDIN_FAULT: the launch that fails, from 1
    unsigned timeout = 300;            // STANDIN_TIMEOUT, seconds; 0: none
    std::string count;                 // STANDIN_COUNT
    std::string cache;                 // STANDIN_CACHE
    std::string sm90_engine;           // STANDIN_SM90_ENGINE, set by `run`: the library in ../sm90
};

const Settings& settings();

// One line on stderr, after "stand-in: ".
void say(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace standin
