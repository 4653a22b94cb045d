// A multiprocessor in time: resident blocks that share four schedulers, the load-store unit and the caches.
#pragma once
#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "cache.h"
#include "grid.h"
#include "latencies.h"

namespace standin::sm90 {

// What a block has cost.
struct BlockTime {
    unsigned number;
    double start, end;
    u64 instructions, ffma, longest_warp;   // warp instructions
    std::vector<double> cycles_at;          // of its last warp to end, by instruction
};

struct Traffic {
    u64 l1_hits = 0, l1_misses = 0, constant_misses = 0, shared_conflicts = 0;
};

struct Multiprocessor {
    Multiprocessor(const Grid& grid, const Latencies& latencies, unsigned resident, bool with_lines);

    // Makes the block resident from `time` on. There must be room for it.
    void add(unsigned number, double time);
    bool has_room() const;
    // The time of the next instruction; infinite without one.
    double next() const;
    // Runs until the next instruction concerns other multiprocessors and is later than `limit`, or until a
    // block ends while more wait for a place.
    void advance(double limit, bool blocks_wait);
    bool deadlocked() const;
    std::string waiting();

    std::vector<BlockTime> finished;
    Traffic traffic;
    Context context;

  private:
    struct Scheduler {
        std::vector<Warp*> warps;
        std::vector<double> ready;
        double free = 0;
        double pipe[size_t(Unit::count)] = {};
        double best = 0;
        size_t best_warp = 0;
    };
    void choose(Scheduler& s);
    void refresh(Warp& w);
    void issue(Scheduler& s, size_t index, double t);
    double memory_time(double t, bool load, bool strong);
    double constant_delay(const Instruction& i);
    void finish(Block& b);
    double pipe_cycles(Unit unit) const;

    const Grid& grid_;
    const Code& code_;
    const Latencies& l_;
    bool with_lines_;
    std::vector<Block> blocks_;
    Scheduler schedulers_[4];
    double lsu_ = 0, l2_ = 0;
    double l2_sector_;
    Cache l1_;
    std::set<u32> constants_;
};

}  // namespace standin::sm90
