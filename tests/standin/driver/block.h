// A thread block on fibers: its threads, its shared memory, and the state of
// its barriers and warps.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "fiber.h"
#include "settings.h"

namespace standin {

struct Worker;
struct Grid;

// A `__shared__` object of one block: a separate heap block, with canaries.
struct SharedSlot {
    const void* key;   // null: the dynamic shared memory
    char* data;
    size_t bytes;
    char* heap;
    bool live = false;   // used by the current block
};

struct Block {
    Worker* worker = nullptr;
    Grid* grid = nullptr;
    uint3 index{};
    unsigned linear = 0;         // of the block in its grid
    unsigned cluster = 0;        // index of the cluster in the gang
    unsigned cluster_rank = 0;
    std::vector<Thread> threads;
    unsigned alive = 0;
    unsigned waiting = 0;        // at block barriers
    uint64_t passes = 0;
    std::vector<SharedSlot> shared;
    size_t shared_bytes = 0;

    ~Block();
    void start(Worker* worker, Grid* grid, unsigned linear);
    void* shared_slot(const void* key, size_t bytes, size_t align);
    // False after reporting an overrun.
    bool check_shared();
    void release_barriers();
    void clear_shared();
};

// State common to all blocks of a launch, and its result.
struct Grid {
    std::string name;
    const void* entry = nullptr;
    void (*call)(const void*, void* const*) = nullptr;
    void* const* params = nullptr;
    dim3 grid_dim, block_dim;
    size_t dynamic_shared = 0;
    unsigned cluster_size = 1;
    dim3 cluster_dim{1, 1, 1};
    bool cooperative = false;
    bool alone = true;             // no other host thread works on this grid
    std::atomic<int> error{0};     // the CUresult of the first failure
    std::atomic<size_t> static_shared{0};

    bool failed() const { return error.load(std::memory_order_relaxed) != 0; }
    // Prints the first failure of the launch, in one line, and records it.
    void fail(int code, const Thread* thread, const char* format, ...) __attribute__((format(printf, 4, 5)));
};

// One host thread that runs gangs: sets of blocks that are live at once.
struct Worker {
    Host host;
    StackPool stacks;
    std::vector<std::unique_ptr<Block>> blocks;
    Grid* grid = nullptr;

    // Runs blocks first .. first + count of the grid, in the requested order.
    void run_gang(Grid* grid, const std::vector<unsigned>& block_numbers);
    Thread* next_unstarted();

  private:
    bool pass(Block& block);
    Thread* next_runnable();
    bool release_gang(size_t count);
    void report_deadlock(size_t count, bool polling);
    void drop(size_t count);

    Block* pass_block_ = nullptr;
    std::vector<unsigned> order_;
    size_t cursor_ = 0;
};

// The worker of this host thread, null outside a launch.
extern thread_local Worker* current_worker;

// The table for kernels.
const Runtime& runtime_table();

// Errors of the CUDA driver that a device thread can cause.
int code_of(Failure failure);

std::string place(const Thread* thread);

}  // namespace standin
