#include "launch.h"

#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "block.h"
#include "counts.h"
#include "device.h"
#include "fault.h"
#include "machine_code.h"
#include "memory.h"
#include "settings.h"

namespace standin {
namespace {

// Distributes gangs of blocks in the requested order.
struct Dealer {
    std::vector<unsigned> order;   // of gangs
    size_t gang_blocks = 1;
    const Launch* launch = nullptr;
    std::atomic<size_t> next{0};

    // The cluster's blocks are adjacent in the grid; otherwise one block, or all.
    bool deal(std::vector<unsigned>* blocks) {
        size_t at = next.fetch_add(1);
        if (at >= order.size()) return false;
        unsigned gang = order[at];
        blocks->clear();
        const dim3 &g = launch->grid, &c = launch->cluster;
        if (launch->cooperative && gang_blocks == size_t(g.x) * g.y * g.z) {
            for (size_t i = 0; i < gang_blocks; ++i) blocks->push_back(unsigned(i));
            return true;
        }
        dim3 clusters{g.x / c.x, g.y / c.y, g.z / c.z};
        unsigned cx = gang % clusters.x, cy = gang / clusters.x % clusters.y, cz = gang / clusters.x / clusters.y;
        for (unsigned z = 0; z < c.z; ++z)
            for (unsigned y = 0; y < c.y; ++y)
                for (unsigned x = 0; x < c.x; ++x)
                    blocks->push_back(((cz * c.z + z) * g.y + cy * c.y + y) * g.x + cx * c.x + x);
        return true;
    }
};

void work(Worker* worker, Grid* grid, Dealer* dealer) {
    std::vector<unsigned> blocks;
    FaultGuard guard;
    worker->grid = nullptr;
    while (!grid->failed() && dealer->deal(&blocks)) worker->run_gang(grid, blocks);
}

// The helpers of the launching thread, each with its own stacks.
class Team {
  public:
    explicit Team(unsigned helpers) {
        for (unsigned i = 0; i < helpers; ++i) std::thread([this] { help(); }).detach();
        helpers_ = helpers;
    }
    void run(Grid* grid, Dealer* dealer) {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            grid_ = grid;
            dealer_ = dealer;
            busy_ = helpers_;
            ++round_;
        }
        begin_.notify_all();
        work(&mine_, grid, dealer);
        std::unique_lock<std::mutex> lock(mutex_);
        end_.wait(lock, [this] { return busy_ == 0; });
    }
    Worker* mine() { return &mine_; }

  private:
    void help() {
        auto* worker = new Worker;
        uint64_t seen = 0;
        for (;;) {
            std::unique_lock<std::mutex> lock(mutex_);
            begin_.wait(lock, [&] { return round_ != seen; });
            seen = round_;
            lock.unlock();
            work(worker, grid_, dealer_);
            lock.lock();
            if (--busy_ == 0) end_.notify_one();
        }
    }
    std::mutex mutex_;
    std::condition_variable begin_, end_;
    Worker mine_;
    Grid* grid_ = nullptr;
    Dealer* dealer_ = nullptr;
    unsigned helpers_ = 0, busy_ = 0;
    uint64_t round_ = 0;
};

Team& team() {
    static auto* team = new Team(settings().threads - 1);
    return *team;
}

std::vector<unsigned> gang_order(size_t gangs) {
    std::vector<unsigned> order(gangs);
    for (size_t i = 0; i < gangs; ++i) order[i] = unsigned(i);
    const Settings& s = settings();
    if (s.order == Order::backward) std::reverse(order.begin(), order.end());
    if (s.order == Order::random) {
        uint64_t x = s.seed * 0x9e3779b97f4a7c15ull + 0x1234567;
        for (size_t i = gangs; i > 1; --i) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            std::swap(order[i - 1], order[x % i]);
        }
    }
    return order;
}

}  // namespace

int prepare(Launch* launch, void** params, void** extra) {
    if (!is_function(launch->function)) return CUDA_ERROR_INVALID_HANDLE;
    const CUfunc_st& f = *launch->function;
    const Kernel& kernel = *f.kernel;
    const char* name = f.name.c_str();
    const dim3 &g = launch->grid, &b = launch->block, &c = launch->cluster;
    auto refuse = [&](int code, const char* why) {
        say("launch of %s, grid (%u,%u,%u), block (%u,%u,%u), %zu bytes of shared memory: %s", name, g.x, g.y, g.z, b.x,
            b.y, b.z, launch->shared, why);
        return code;
    };
    size_t threads = size_t(b.x) * b.y * b.z;
    if (threads == 0 || g.x == 0 || g.y == 0 || g.z == 0) return refuse(CUDA_ERROR_INVALID_VALUE, "an empty dimension");
    if (threads > 1024 || b.x > 1024 || b.y > 1024 || b.z > 64)
        return refuse(CUDA_ERROR_INVALID_VALUE, "a block has at most 1024 threads, and 64 in z");
    if (g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535)
        return refuse(CUDA_ERROR_INVALID_VALUE, "a grid has at most 65535 blocks in y and z");
    if (kernel.max_threads != 0 && threads > kernel.max_threads)
        return refuse(CUDA_ERROR_INVALID_VALUE, "more threads than its __launch_bounds__");
    if (launch->shared > f.dynamic_shared_limit)
        return refuse(CUDA_ERROR_INVALID_VALUE, "more shared memory than MAX_DYNAMIC_SHARED_SIZE_BYTES was set to");
    size_t cluster = size_t(c.x) * c.y * c.z;
    if (cluster == 0 || g.x % c.x != 0 || g.y % c.y != 0 || g.z % c.z != 0)
        return refuse(CUDA_ERROR_INVALID_CLUSTER_SIZE, "the cluster does not divide the grid");
    if (cluster > (f.non_portable_cluster != 0 ? 16u : 8u))
        return refuse(CUDA_ERROR_INVALID_CLUSTER_SIZE, "a cluster has at most 8 blocks, 16 if non-portable is allowed");
    if (launch->cooperative) {
        size_t resident = size_t(blocks_per_multiprocessor(f, threads, launch->shared)) * multiprocessors();
        if (size_t(g.x) * g.y * g.z > resident)
            return refuse(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, "more blocks than can be resident");
    }
    size_t bytes = 0;
    launch->offsets.clear();
    for (unsigned i = 0; i < kernel.param_count; ++i) {
        const Param& p = kernel.params[i];
        bytes = (bytes + p.align - 1) / p.align * p.align;
        launch->offsets.push_back(bytes);
        bytes += p.bytes;
    }
    if (extra != nullptr) return refuse(CUDA_ERROR_NOT_SUPPORTED, "arguments in `extra` are not supported");
    if (kernel.param_count != 0 && params == nullptr) return refuse(CUDA_ERROR_INVALID_VALUE, "no arguments");
    void* room = nullptr;
    if (posix_memalign(&room, 64, bytes == 0 ? 64 : bytes) != 0) return CUDA_ERROR_OUT_OF_MEMORY;
    launch->params = std::shared_ptr<char>(static_cast<char*>(room), free);
    for (unsigned i = 0; i < kernel.param_count; ++i) {
        if (params[i] == nullptr) {
            say("launch of %s: argument %u of %u is missing (a null pointer)", name, i, kernel.param_count);
            return CUDA_ERROR_INVALID_VALUE;
        }
        memcpy(launch->params.get() + launch->offsets[i], params[i], kernel.params[i].bytes);
    }
    return check_pointers(*launch);
}

int check_pointers(const Launch& launch) {
    const CUfunc_st& f = *launch.function;
    for (unsigned i = 0; i < f.kernel->param_count; ++i) {
        const Param& p = f.kernel->params[i];
        if (!p.pointer) continue;
        void* value;
        memcpy(&value, launch.params.get() + launch.offsets[i], sizeof(value));
        if (value == nullptr) continue;
        if (!find_range(value, 0, nullptr)) {
            say("launch of %s: argument %u is %p, which is in no live allocation", f.name.c_str(), i, value);
            return CUDA_ERROR_INVALID_VALUE;
        }
        if (reinterpret_cast<uintptr_t>(value) % p.pointee_align != 0) {
            say("launch of %s: argument %u is %p, not aligned to the %u bytes of its type", f.name.c_str(), i, value,
                p.pointee_align);
            return CUDA_ERROR_MISALIGNED_ADDRESS;
        }
    }
    return CUDA_SUCCESS;
}

int run(const Launch& launch) {
    CUfunc_st& f = *launch.function;
    ++counts().kernels[f.name];
    static uint64_t launches = 0;
    if (++launches == settings().fault) {
        say("launch %llu (%s) fails, as STANDIN_FAULT asks", (unsigned long long)launches, f.name.c_str());
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    }
    if (settings().skip_kernels) return CUDA_SUCCESS;
    if (f.facts != nullptr) {
        Deadline deadline(f.name.c_str());
        int code = run_machine_code(launch);
        if (code == CUDA_SUCCESS && !check_fences(("kernel " + f.name).c_str())) return CUDA_ERROR_ILLEGAL_ADDRESS;
        return code;
    }
    Grid grid;
    grid.name = f.name;
    grid.entry = f.kernel->entry;
    grid.call = f.kernel->call;
    std::vector<void*> params;
    for (size_t offset : launch.offsets) params.push_back(launch.params.get() + offset);
    grid.params = params.data();
    grid.grid_dim = launch.grid;
    grid.block_dim = launch.block;
    grid.dynamic_shared = launch.shared;
    grid.cluster_dim = launch.cluster;
    grid.cluster_size = launch.cluster.x * launch.cluster.y * launch.cluster.z;
    grid.cooperative = launch.cooperative;

    size_t blocks = size_t(launch.grid.x) * launch.grid.y * launch.grid.z;
    Dealer dealer;
    dealer.launch = &launch;
    dealer.gang_blocks = launch.cooperative ? blocks : grid.cluster_size;
    dealer.order = gang_order(blocks / dealer.gang_blocks);
    size_t threads = size_t(launch.block.x) * launch.block.y * launch.block.z;
    // Waking a helper costs more than a small launch.
    grid.alone = settings().threads == 1 || dealer.order.size() == 1 || blocks * threads < 2048;
    Deadline deadline(f.name.c_str());
    if (grid.alone)
        work(team().mine(), &grid, &dealer);
    else
        team().run(&grid, &dealer);
    f.static_shared = std::max<size_t>(f.static_shared, grid.static_shared);
    if (!grid.failed() && !check_fences(("kernel " + f.name).c_str())) return CUDA_ERROR_ILLEGAL_ADDRESS;
    return grid.error;
}

}  // namespace standin
