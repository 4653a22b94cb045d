// The scheduler: passes over a block's threads, rounds over a gang's blocks,
// and the report of a deadlock.
#include <sched.h>
#include <string.h>

#include <algorithm>

#include "block.h"
#include "cuda_abi.h"

namespace standin {

thread_local Worker* current_worker = nullptr;

namespace {

// Rounds in which threads only polled before they count as stuck. Another host
// thread may still be about to write the value that they wait for.
constexpr uint64_t stuck_rounds_alone = 1000;
constexpr uint64_t stuck_rounds_shared = 1000000;

uint64_t scramble(uint64_t& state) {
    state += 0x9e3779b97f4a7c15ull;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

// The block of a gang with the given turn in a round.
size_t turn(size_t step, size_t count, uint64_t round) {
    const Settings& s = settings();
    switch (s.order) {
        case Order::forward: return step;
        case Order::backward: return count - 1 - step;
        default: {
            uint64_t state = s.seed + round;
            return (step + scramble(state)) % count;
        }
    }
}

bool runnable(const Thread& t) { return t.state == State::ready || t.state == State::polling; }

// A lane has exited: lanes that wait for it in a warp operation are deadlocked.
void lane_exits(Thread* t) {
    Block& block = *t->block;
    size_t first = size_t(t->warp) * 32, last = std::min(first + 32, block.threads.size());
    for (size_t i = first; i < last; ++i) {
        const Thread& other = block.threads[i];
        if (other.state == State::at_warp && (other.warp_op->mask >> t->lane & 1u) != 0)
            block.grid->fail(CUDA_ERROR_LAUNCH_FAILED, &other,
                             "waits at the warp operation of %s:%d (mask %08x) for lane %u, which has exited",
                             other.warp_op->file, other.warp_op->line, other.warp_op->mask, t->lane);
    }
}

// The main function of every stack: it runs device threads one after another.
void stack_main(Stack* stack) {
    for (;;) {
        Thread* t = stack->thread();
        Block* block = t->block;
        Worker* worker = block->worker;
        Grid* grid = block->grid;
        grid->call(grid->entry, grid->params);
        t->state = State::done;
        t->stack = nullptr;
        --block->alive;
        lane_exits(t);
        Thread* next = grid->failed() ? nullptr : worker->next_unstarted();
        if (next != nullptr) {
            next->stack = stack;
            stack->thread() = next;
            continue;
        }
        worker->stacks.give_idle(stack);
        leave(stack);
    }
}

}  // namespace

// The next thread of this pass, if it can begin on the stack of the last one.
Thread* Worker::next_unstarted() {
    while (cursor_ < order_.size()) {
        Thread& t = pass_block_->threads[order_[cursor_]];
        if (!runnable(t)) {
            ++cursor_;
            continue;
        }
        if (t.stack != nullptr) return nullptr;
        ++cursor_;
        return &t;
    }
    return nullptr;
}

Thread* Worker::next_runnable() {
    while (cursor_ < order_.size()) {
        Thread& t = pass_block_->threads[order_[cursor_++]];
        if (runnable(t)) return &t;
    }
    return nullptr;
}

// Runs every runnable thread of the block once, in the requested order. True
// if one of them did more than poll.
bool Worker::pass(Block& block) {
    if (block.alive == 0) return false;
    const Settings& s = settings();
    size_t count = block.threads.size();
    order_.resize(count);
    for (size_t i = 0; i < count; ++i) order_[i] = unsigned(s.order == Order::backward ? count - 1 - i : i);
    if (s.order == Order::random) {
        uint64_t state = s.seed * 0x2545f4914f6cdd1dull + (uint64_t(block.linear) << 32) + block.passes;
        for (size_t i = count; i > 1; --i) std::swap(order_[i - 1], order_[scramble(state) % i]);
    }
    ++block.passes;
    pass_block_ = &block;
    cursor_ = 0;
    bool progress = false;
    while (Thread* t = next_runnable()) {
        State before = t->state;
        unsigned alive = block.alive;
        if (t->stack == nullptr) {
            t->stack = stacks.take(&host, &stack_main);
            t->stack->thread() = t;
        }
        enter(&host, t->stack);
        if (grid->failed()) return true;
        if (before != State::polling || t->state != State::polling || block.alive != alive) progress = true;
    }
    if (block.waiting > 0) {
        unsigned waiting = block.waiting;
        block.release_barriers();
        if (block.waiting != waiting) progress = true;
    }
    if (block.alive == 0) block.check_shared();
    return progress;
}

// Releases cluster and grid barriers that all blocks have reached.
bool Worker::release_gang(size_t count) {
    bool released = false;
    auto open = [&](State state, size_t first, size_t last) {
        size_t waiting = 0, alive = 0;
        for (size_t i = first; i < last; ++i) {
            alive += blocks[i]->alive;
            for (const Thread& t : blocks[i]->threads) waiting += t.state == state;
        }
        if (waiting == 0 || waiting < alive) return;
        for (size_t i = first; i < last; ++i)
            for (Thread& t : blocks[i]->threads)
                if (t.state == state) t.state = State::ready;
        released = true;
    };
    size_t cluster = std::max(1u, grid->cluster_size);
    for (size_t first = 0; first < count; first += cluster)
        open(State::at_cluster, first, std::min(count, first + cluster));
    if (grid->cooperative) open(State::at_grid, 0, count);
    return released;
}

void Worker::report_deadlock(size_t count, bool polling) {
    const Thread* stuck = nullptr;
    for (size_t i = 0; i < count && stuck == nullptr; ++i)
        for (const Thread& t : blocks[i]->threads)
            if (t.state != State::done && (t.state == State::at_warp || stuck == nullptr)) {
                stuck = &t;
                if (t.state == State::at_warp) break;
            }
    if (stuck == nullptr) return;
    if (polling) {
        for (size_t i = 0; i < count; ++i)
            for (const Thread& t : blocks[i]->threads)
                if (t.state == State::polling) stuck = &t;
        grid->fail(CUDA_ERROR_LAUNCH_TIMEOUT, stuck, "spins at %s:%d for something that never comes%s", stuck->file,
                   stuck->line, grid->cooperative ? "" : " (blocks of a launch that is not cooperative run in turn)");
        return;
    }
    if (stuck->state == State::at_warp) {
        const WarpOp& op = *stuck->warp_op;
        for (unsigned lane = 0; lane < 32; ++lane) {
            size_t i = size_t(stuck->warp) * 32 + lane;
            if ((op.mask >> lane & 1u) == 0 || i >= stuck->block->threads.size()) continue;
            const Thread& other = stuck->block->threads[i];
            bool here = other.state == State::at_warp && other.warp_op->mask == op.mask;
            if (here) continue;
            const char* file = other.state == State::at_warp ? other.warp_op->file : other.file;
            int line = other.state == State::at_warp ? other.warp_op->line : other.line;
            grid->fail(CUDA_ERROR_LAUNCH_FAILED, stuck,
                       "waits at the warp operation of %s:%d (mask %08x) for lane %u, which waits at %s:%d", op.file,
                       op.line, op.mask, lane, file, line);
            return;
        }
        grid->fail(CUDA_ERROR_LAUNCH_FAILED, stuck, "waits at the warp operation of %s:%d with lanes that run another",
                   op.file, op.line);
        return;
    }
    grid->fail(CUDA_ERROR_LAUNCH_FAILED, stuck, "waits for ever at the barrier of %s:%d: the others wait elsewhere",
               stuck->file, stuck->line);
}

// Discards threads that will not continue.
void Worker::drop(size_t count) {
    for (size_t i = 0; i < count; ++i)
        for (Thread& t : blocks[i]->threads) {
            if (t.stack != nullptr) stacks.give_abandoned(t.stack);
            t.stack = nullptr;
            t.state = State::done;
        }
}

void Worker::run_gang(Grid* grid_, const std::vector<unsigned>& numbers) {
    if (grid != grid_) {
        for (auto& block : blocks) block->clear_shared();
        grid = grid_;
    }
    size_t count = numbers.size();
    while (blocks.size() < count) blocks.push_back(std::make_unique<Block>());
    unsigned cluster = std::max(1u, grid->cluster_size);
    for (size_t i = 0; i < count; ++i) {
        blocks[i]->start(this, grid, numbers[i]);
        blocks[i]->cluster = unsigned(i) / cluster;
        blocks[i]->cluster_rank = unsigned(i) % cluster;
    }
    current_worker = this;
    uint64_t stuck = 0, round = 0;
    for (;;) {
        bool progress = false, alive = false, polling = false;
        for (size_t step = 0; step < count && !grid->failed(); ++step) {
            size_t i = turn(step, count, round);
            progress |= pass(*blocks[i]);
            alive |= blocks[i]->alive > 0;
        }
        ++round;
        if (grid->failed() || !alive) break;
        progress |= release_gang(count);
        if (progress) {
            stuck = 0;
            continue;
        }
        for (size_t i = 0; i < count; ++i)
            for (const Thread& t : blocks[i]->threads) polling |= t.state == State::polling;
        if (polling && ++stuck < (grid->alone ? stuck_rounds_alone : stuck_rounds_shared)) {
            if (!grid->alone) sched_yield();
            continue;
        }
        report_deadlock(count, polling);
        break;
    }
    size_t used = 0;
    for (size_t i = 0; i < count; ++i) used = std::max(used, blocks[i]->shared_bytes);
    if (used > grid->static_shared) grid->static_shared = used;
    if (grid->failed()) drop(count);
    current_worker = nullptr;
}

}  // namespace standin
