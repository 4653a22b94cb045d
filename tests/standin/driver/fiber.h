// Stacks and switches: a device thread runs on a stack of its own, and hands
// the processor back and forth with the scheduler that called it.
#pragma once
#include <vector>

#include "../device/abi.h"

namespace standin {

// The scheduler's side of a switch; one for each host thread.
struct Host {
    void* stack_pointer = nullptr;
    void* fake_stack = nullptr;   // AddressSanitizer's
    const void* bottom = nullptr;
    size_t size = 0;
    Stack* current = nullptr;     // the stack that runs now
    Thread* running() const;
};

struct Stack {
    char* base = nullptr;   // aligned to stack_bytes
    void* stack_pointer = nullptr;
    void* fake_stack = nullptr;
    Host* host = nullptr;
    void (*main)(Stack*) = nullptr;

    // Where self() looks.
    Thread*& thread() const { return *reinterpret_cast<Thread**>(base + stack_bytes - 64); }
};

inline Thread* Host::running() const { return current == nullptr ? nullptr : current->thread(); }

// Stacks of one host thread, kept for the next launch.
class StackPool {
  public:
    ~StackPool();
    Stack* take(Host* host, void (*main)(Stack*));
    // Gives back a stack whose main loop waits for its next thread.
    void give_idle(Stack* stack) { idle_.push_back(stack); }
    // Gives back a stack in the middle of a thread that will never go on.
    void give_abandoned(Stack* stack);
    static Stack* owner_of(const void* address, const std::vector<Stack*>& stacks);
    const std::vector<Stack*>& all() const { return all_; }

  private:
    void grow();
    std::vector<Stack*> all_, idle_;
    std::vector<Stack*> fresh_;
    std::vector<void*> slabs_;
    std::vector<size_t> slab_bytes_;
};

// From the scheduler into a stack; returns when the stack yields.
void enter(Host* host, Stack* stack);
// From a stack back to its scheduler; returns when it is entered again.
void leave(Stack* stack);
// From a stack back to its scheduler for good.
[[noreturn]] void abandon(Stack* stack);

}  // namespace standin
