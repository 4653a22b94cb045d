// Stacks and context switches: a device thread runs on its own stack, and
// switches to and from the scheduler that called it.
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
    Stack* current = nullptr;     // the running stack
    Thread* running() const;
};

struct Stack {
    char* base = nullptr;   // aligned to stack_bytes
    void* stack_pointer = nullptr;
    void* fake_stack = nullptr;
    Host* host = nullptr;
    void (*main)(Stack*) = nullptr;

    // Read by self().
    Thread*& thread() const { return *reinterpret_cast<Thread**>(base + stack_bytes - 64); }
};

inline Thread* Host::running() const { return current == nullptr ? nullptr : current->thread(); }

// Stacks of one host thread, kept for the next launch.
class StackPool {
  public:
    ~StackPool();
    Stack* take(Host* host, void (*main)(Stack*));
    // Returns a stack whose main loop waits for its next thread.
    void give_idle(Stack* stack) { idle_.push_back(stack); }
    // Returns a stack in the middle of a thread that will not continue.
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

// Switches from the scheduler to a stack; returns when the stack yields.
void enter(Host* host, Stack* stack);
// Switches from a stack to its scheduler; returns when it is entered again.
void leave(Stack* stack);
// Switches from a stack to its scheduler and does not return.
[[noreturn]] void abandon(Stack* stack);

}  // namespace standin
