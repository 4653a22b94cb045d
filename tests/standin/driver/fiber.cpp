#include "fiber.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(__x86_64__) && !defined(__aarch64__)
#error "the stand-in driver switches stacks on x86-64 and aarch64 only"
#endif

// standin_switch(save, load): pushes the callee-saved registers, stores the
// stack pointer in *save, loads the one in load, and pops.
#if defined(__x86_64__)
asm(R"(
.text
.globl standin_switch
.hidden standin_switch
.type standin_switch, @function
standin_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size standin_switch, .-standin_switch
)");
static constexpr int saved_words = 6;
#else
asm(R"(
.text
.globl standin_switch
.hidden standin_switch
.type standin_switch, %function
standin_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size standin_switch, .-standin_switch
)");
#endif

extern "C" void standin_switch(void** save, void* load);

namespace standin {
namespace {

constexpr size_t stacks_per_slab = 64;
// Each guard page splits a mapping in two; a process may have 65530 mappings.
constexpr size_t guarded_stacks = 8192;

void finish_switch(void* fake, const void** bottom, size_t* size) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, bottom, size);
#else
    (void)fake, (void)bottom, (void)size;
#endif
}

void start_switch(void** fake, const void* bottom, size_t size) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(fake, bottom, size);
#else
    (void)fake, (void)bottom, (void)size;
#endif
}

// The first frame of a stack: the return address of its first switch.
void first_frame() {
    uintptr_t here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
    char* base = reinterpret_cast<char*>(here & ~(stack_bytes - 1));
    Stack* stack = *reinterpret_cast<Stack**>(base + stack_bytes - 56);
    finish_switch(nullptr, &stack->host->bottom, &stack->host->size);
    stack->main(stack);
    abort();
}

void prepare(Stack* stack) {
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(stack->base + 4096, stack_bytes - 4096);
#endif
    char* top = stack->base + stack_bytes - 64;
    *reinterpret_cast<Thread**>(top) = nullptr;
    *reinterpret_cast<Stack**>(top + 8) = stack;
    void** frame = reinterpret_cast<void**>(top);
#if defined(__x86_64__)
    *--frame = nullptr;   // keeps the stack aligned as after a call
    *--frame = reinterpret_cast<void*>(&first_frame);
    for (int i = 0; i < saved_words; ++i) *--frame = nullptr;
#else
    frame -= 20;
    for (int i = 0; i < 20; ++i) frame[i] = nullptr;
    frame[11] = reinterpret_cast<void*>(&first_frame);   // x30
#endif
    stack->stack_pointer = frame;
    stack->fake_stack = nullptr;
}

}  // namespace

void StackPool::grow() {
    size_t bytes = stacks_per_slab * stack_bytes + stack_bytes;
    void* slab = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slab == MAP_FAILED) {
        static const char message[] = "stand-in: no memory for the stacks of the device threads\n";
        if (write(2, message, sizeof(message) - 1) < 0) _exit(70);
        abort();
    }
    slabs_.push_back(slab);
    slab_bytes_.push_back(bytes);
    char* base = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(slab) + stack_bytes - 1) & ~(stack_bytes - 1));
    for (size_t i = 0; i < stacks_per_slab; ++i) {
        Stack* stack = new Stack;
        stack->base = base + i * stack_bytes;
        if (all_.size() < guarded_stacks) mprotect(stack->base, 4096, PROT_NONE);
        prepare(stack);
        all_.push_back(stack);
        fresh_.push_back(stack);
    }
}

StackPool::~StackPool() {
    for (Stack* stack : all_) delete stack;
    for (size_t i = 0; i < slabs_.size(); ++i) munmap(slabs_[i], slab_bytes_[i]);
}

Stack* StackPool::take(Host* host, void (*main)(Stack*)) {
    Stack* stack;
    if (!idle_.empty()) {
        stack = idle_.back();
        idle_.pop_back();
    } else {
        if (fresh_.empty()) grow();
        stack = fresh_.back();
        fresh_.pop_back();
    }
    stack->host = host;
    stack->main = main;
    return stack;
}

void StackPool::give_abandoned(Stack* stack) {
    prepare(stack);
    fresh_.push_back(stack);
}

Stack* StackPool::owner_of(const void* address, const std::vector<Stack*>& stacks) {
    for (Stack* stack : stacks) {
        const char* p = static_cast<const char*>(address);
        if (p >= stack->base && p < stack->base + stack_bytes) return stack;
    }
    return nullptr;
}

void enter(Host* host, Stack* stack) {
    host->current = stack;
    start_switch(&host->fake_stack, stack->base, stack_bytes - 64);
    standin_switch(&host->stack_pointer, stack->stack_pointer);
    finish_switch(host->fake_stack, nullptr, nullptr);
    host->current = nullptr;
}

void leave(Stack* stack) {
    Host* host = stack->host;
    start_switch(&stack->fake_stack, host->bottom, host->size);
    standin_switch(&stack->stack_pointer, host->stack_pointer);
    finish_switch(stack->fake_stack, &stack->host->bottom, &stack->host->size);
}

void abandon(Stack* stack) {
    Host* host = stack->host;
    void* unused;
    start_switch(nullptr, host->bottom, host->size);
    standin_switch(&unused, host->stack_pointer);
    abort();
}

}  // namespace standin
