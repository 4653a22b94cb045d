// Execution in time. Every multiprocessor runs on its own until an instruction concerns the others (an
// atomic, a strong load or store, a fence) or a block ends while more wait; those happen in order of time.
#include <string.h>

#include <algorithm>
#include <limits>
#include <queue>

#include "occupancy.h"
#include "options.h"
#include "report.h"
#include "run.h"

namespace standin::sm90 {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();

// The jobs of the launch, from its parameters.
std::vector<JobTime> jobs_of(const Grid& grid) {
    const JobTable& table = options().jobs;
    const CubinKernel& k = grid.kernel->cubin;
    std::vector<JobTime> jobs;
    if (table.known) {
        auto word = [&](u32 at) {
            u32 x;
            if (at + 4 > k.param_bytes) throw Fault(Failure::unsupported, -1, "STANDIN_SM90_JOBS beyond the parameters");
            memcpy(&x, grid.request->params + at, 4);
            return x;
        };
        for (u32 n = 0; n < table.most; ++n) {
            JobTime job;
            job.first_block = word(table.first_blocks + 4 * n);
            if (job.first_block == ~0u) break;
            static const char digits[] = "0123456789abcdef";
            for (u32 b = 0; b < table.stride && table.jobs + n * table.stride + b < k.param_bytes; ++b) {
                u8 byte = u8(grid.request->params[table.jobs + n * table.stride + b]);
                job.row += digits[byte >> 4];
                job.row += digits[byte & 15];
            }
            jobs.push_back(job);
        }
    }
    if (jobs.empty()) jobs.emplace_back();
    for (size_t n = 0; n < jobs.size(); ++n) {
        u32 end = n + 1 < jobs.size() ? jobs[n + 1].first_block : grid.blocks;
        if (jobs[n].first_block > end || end > grid.blocks)
            throw Fault(Failure::unsupported, -1, "the jobs' first blocks are not in order: does STANDIN_SM90_JOBS fit the kernel?");
        jobs[n].blocks = end - jobs[n].first_block;
    }
    return jobs;
}

JobTime& job_of(std::vector<JobTime>& jobs, unsigned block) {
    size_t n = jobs.size() - 1;
    while (n > 0 && block < jobs[n].first_block) --n;
    return jobs[n];
}

void add(Traffic& sum, const Traffic& t) {
    sum.l1_hits += t.l1_hits;
    sum.l1_misses += t.l1_misses;
    sum.constant_misses += t.constant_misses;
    sum.shared_conflicts += t.shared_conflicts;
}

// Runs the multiprocessors until nothing is left. `waiting` are blocks without a place, in reverse.
bool run_all(const Grid& grid, std::vector<std::unique_ptr<Multiprocessor>>& all, std::vector<unsigned> waiting,
             FaultRecord& fault) {
    using Entry = std::pair<double, size_t>;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<Entry>> queue;
    for (size_t k = 0; k < all.size(); ++k) queue.push({all[k]->next(), k});
    while (!queue.empty()) {
        auto [time, k] = queue.top();
        queue.pop();
        Multiprocessor& m = *all[k];
        double limit = queue.empty() ? never : queue.top().first;
        size_t before = m.finished.size();
        try {
            m.advance(limit, !waiting.empty());
        } catch (const Fault& f) {
            fault.record(grid, m.context, f);
            return false;
        }
        if (m.finished.size() != before && !waiting.empty()) {
            m.add(waiting.back(), m.finished.back().end);
            waiting.pop_back();
        }
        if (m.deadlocked()) {
            fault.record(Failure::trap, m.waiting());
            return false;
        }
        if (m.next() != never) queue.push({m.next(), k});
    }
    return true;
}

const Latencies& latencies() {
    static const Latencies l = read_latencies(options().latencies);
    return l;
}

void finish(LaunchTime& t) {
    for (JobTime& j : t.jobs) {
        if (j.run != 0 && j.run != j.blocks) {
            j.instructions = j.instructions * j.blocks / j.run;
            j.ffma = j.ffma * j.blocks / j.run;
        }
        t.instructions += j.instructions;
        t.ffma += j.ffma;
    }
    t.issue_cycles = double(t.instructions) / (4 * latencies().multiprocessors);
}

void run_whole(Grid& grid, LaunchTime& t, bool with_lines, FaultRecord& fault) {
    const unsigned count = unsigned(latencies().multiprocessors);
    std::vector<std::unique_ptr<Multiprocessor>> all;
    unsigned used = std::min(count, grid.blocks);
    for (unsigned k = 0; k < used; ++k)
        all.push_back(std::make_unique<Multiprocessor>(grid, latencies(), t.resident, with_lines));
    // One block for each multiprocessor, then a second one, and so on.
    unsigned placed = 0;
    for (unsigned round = 0; round < t.resident; ++round)
        for (unsigned k = 0; k < used && placed < grid.blocks; ++k) all[k]->add(placed++, 0);
    std::vector<unsigned> waiting;
    for (unsigned b = grid.blocks; b-- > placed;) waiting.push_back(b);
    if (!waiting.empty() && grid.request->cooperative)
        throw Fault(Failure::unsupported, -1, "a cooperative launch of more blocks than are resident");
    if (!run_all(grid, all, std::move(waiting), fault)) return;
    for (auto& m : all) {
        add(t.traffic, m->traffic);
        for (BlockTime& b : m->finished) {
            JobTime& job = job_of(t.jobs, b.number);
            ++job.run;
            job.sum += b.end - b.start;
            job.worst = std::max(job.worst, b.end);
            job.instructions += b.instructions;
            job.ffma += b.ffma;
            t.longest_warp = std::max(t.longest_warp, b.longest_warp);
            if (b.end > t.cycles) {
                t.cycles = b.end;
                t.worst_block = b.number;
                t.cycles_at = std::move(b.cycles_at);
            }
        }
    }
}

// A few blocks of each job, with as many neighbours as are resident; then all blocks are dealt out to places
// with the mean duration of their job.
void run_sample(Grid& grid, LaunchTime& t, bool with_lines, FaultRecord& fault) {
    const unsigned count = unsigned(latencies().multiprocessors);
    t.sampled = true;
    for (JobTime& job : t.jobs) {
        unsigned samples = std::min(options().sample, job.blocks);
        unsigned together = std::max(1u, std::min(t.resident, (grid.blocks + count - 1) / count));
        for (unsigned n = 0; n < samples; ++n) {
            std::vector<std::unique_ptr<Multiprocessor>> one;
            one.push_back(std::make_unique<Multiprocessor>(grid, latencies(), t.resident, with_lines));
            unsigned first = unsigned(u64(job.blocks) * n / samples);
            unsigned apart = job.blocks >= count * together ? count : 1;
            for (unsigned k = 0; k < together; ++k)
                one[0]->add(job.first_block + (first + k * apart) % job.blocks, 0);
            if (!run_all(grid, one, {}, fault)) return;
            add(t.traffic, one[0]->traffic);
            for (BlockTime& b : one[0]->finished) {
                ++job.run;
                job.sum += b.end - b.start;
                job.instructions += b.instructions;
                job.ffma += b.ffma;
                t.longest_warp = std::max(t.longest_warp, b.longest_warp);
                if (b.end > job.worst) {
                    job.worst = b.end;
                    if (with_lines && job.worst * job.blocks > t.cycles) {
                        t.cycles = job.worst * job.blocks;   // the job that weighs most
                        t.worst_block = b.number;
                        t.cycles_at = std::move(b.cycles_at);
                    }
                }
            }
        }
    }
    std::priority_queue<double, std::vector<double>, std::greater<double>> places;
    for (unsigned k = 0; k < count * t.resident; ++k) places.push(0);
    t.cycles = 0;
    for (const JobTime& job : t.jobs)
        for (unsigned b = 0; b < job.blocks; ++b) {
            double end = places.top() + job.sum / std::max(1u, job.run);
            places.pop();
            places.push(end);
            t.cycles = std::max(t.cycles, end);
        }
}

}  // namespace

void run_for_time(Grid& grid, FaultRecord& fault) {
    unsigned number = next_launch();
    LaunchTime t;
    t.jobs = jobs_of(grid);
    t.resident = unsigned(resident_blocks(grid.kernel->cubin.facts, grid.threads, grid.request->dynamic_shared));
    if (t.resident == 0) throw Fault(Failure::unsupported, -1, "a block that fits on no multiprocessor");
    const auto& wanted = options().lines;
    bool with_lines = options().all_lines || std::find(wanted.begin(), wanted.end(), number) != wanted.end();
    if (options().sample != 0 && !grid.request->cooperative)
        run_sample(grid, t, with_lines, fault);
    else
        run_whole(grid, t, with_lines, fault);
    if (fault.failed()) return;
    finish(t);
    write_launch(grid, number, t);
}

}  // namespace standin::sm90
