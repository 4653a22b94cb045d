// Execution without time: block after block, warp after warp.
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "run.h"

namespace standin::sm90 {
namespace {

// Instructions after which another warp gets its turn, so that none waits for ever for one that spins.
constexpr unsigned turn = 20000;

std::vector<unsigned> ordered(unsigned count, const LaunchRequest& r, u64 salt) {
    std::vector<unsigned> order(count);
    for (unsigned k = 0; k < count; ++k) order[k] = r.order == 1 ? count - 1 - k : k;
    if (r.order == 2) {
        u64 x = (r.seed + salt) * 0x9e3779b97f4a7c15ull + 0x1234567;
        for (unsigned k = count; k > 1; --k) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            std::swap(order[k - 1], order[x % k]);
        }
    }
    return order;
}

class Executor {
  public:
    Executor(const Grid& grid, FaultRecord& fault) : grid_(grid), code_(grid.module->code), fault_(fault) {
        grid.enter(c_);
    }

    // Runs blocks that may wait for each other.
    void run(const std::vector<unsigned>& numbers) {
        while (blocks_.size() < numbers.size()) blocks_.push_back(std::make_unique<Block>());
        for (size_t k = 0; k < numbers.size(); ++k) grid_.start(*blocks_[k], numbers[k]);
        size_t left = numbers.size();
        while (left > 0 && !fault_.failed()) {
            bool progress = false;
            for (size_t k = 0; k < numbers.size(); ++k) {
                Block& b = *blocks_[k];
                if (b.live_warps == 0) continue;
                progress |= turn_of(b);
                if (b.live_warps == 0) --left;
                if (fault_.failed()) return;
            }
            if (!progress) {
                report_deadlock();
                return;
            }
        }
    }

  private:
    // Each warp of the block runs until it waits, sleeps, or its turn is over.
    bool turn_of(Block& b) {
        bool progress = false;
        for (unsigned n : ordered(grid_.warps, *grid_.request, b.number)) {
            Warp& w = b.warps[n];
            c_.warp = &w;
            c_.block = &b;
            c_.rows = w.rows.data();
            w.slept = false;
            for (unsigned count = 0; !w.done && !w.blocked() && !w.slept && count < turn; ++count) {
                progress = true;
                try {
                    step(c_, code_);
                } catch (const Fault& fault) {
                    fault_.record(grid_, c_, fault);
                    return true;
                }
            }
        }
        return progress;
    }

    void report_deadlock() {
        for (const auto& b : blocks_)
            for (const Warp& w : b->warps) {
                if (b->live_warps == 0 || w.done) continue;
                c_.warp = const_cast<Warp*>(&w);
                c_.block = b.get();
                const Instruction& i = code_.instructions[w.groups[w.current].at - 1];
                fault_.record(Failure::trap, place_of(grid_, c_, i, -1) + " waits for ever");
                return;
            }
    }

    const Grid& grid_;
    const Code& code_;
    FaultRecord& fault_;
    Context c_;
    std::vector<std::unique_ptr<Block>> blocks_;
};

}  // namespace

void run_for_results(Grid& grid, FaultRecord& fault) {
    std::vector<unsigned> order = ordered(grid.blocks, *grid.request, 0);
    if (grid.request->cooperative) {
        Executor(grid, fault).run(order);
        return;
    }
    std::atomic<size_t> next{0};
    auto work = [&] {
        Executor executor(grid, fault);
        for (size_t k; !fault.failed() && (k = next.fetch_add(1)) < order.size();) executor.run({order[k]});
    };
    std::vector<std::thread> helpers;
    for (unsigned k = 1; k < grid.request->threads && k < grid.blocks; ++k) helpers.emplace_back(work);
    work();
    for (auto& helper : helpers) helper.join();
}

}  // namespace standin::sm90
