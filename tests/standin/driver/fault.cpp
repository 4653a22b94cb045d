#include "fault.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <string>
#include <thread>

#include "block.h"
#include "cuda_abi.h"
#include "memory.h"
#include "settings.h"

namespace standin {
namespace {

#if !defined(__SANITIZE_ADDRESS__)

struct sigaction before[NSIG];
thread_local int fault_signal;
thread_local const void* fault_address;

// Runs on the stack of the faulting thread, after the handler has returned.
void end_thread() {
    Worker* worker = current_worker;
    Stack* stack = worker->host.current;
    Thread* thread = stack->thread();
    const char* p = static_cast<const char*>(fault_address);
    if (fault_signal == SIGFPE)
        thread->block->grid->fail(CUDA_ERROR_LAUNCH_FAILED, thread, "integer division by zero");
    else if (p >= stack->base && p < stack->base + 4096)
        thread->block->grid->fail(CUDA_ERROR_LAUNCH_FAILED, thread, "its stack of %zu bytes overflowed", stack_bytes);
    else
        thread->block->grid->fail(CUDA_ERROR_ILLEGAL_ADDRESS, thread, "illegal access to %s",
                                  describe_address(fault_address).c_str());
    abandon(stack);
}

void handler(int number, siginfo_t* info, void* context) {
    Worker* worker = current_worker;
    if (worker == nullptr || worker->host.current == nullptr) {
        // Not a fault of a device thread: the default action.
        const struct sigaction& old = before[number];
        if ((old.sa_flags & SA_SIGINFO) != 0 && old.sa_sigaction != nullptr) {
            old.sa_sigaction(number, info, context);
        } else if (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN) {
            old.sa_handler(number);
        } else {
            signal(number, SIG_DFL);
        }
        return;
    }
    fault_signal = number;
    fault_address = info->si_addr;
    // The thread's frames are not needed any more: start at the top of the stack.
    Stack* stack = worker->host.current;
    auto top = reinterpret_cast<uintptr_t>(stack->base + stack_bytes - 128);
    auto* machine = &static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
    machine->gregs[REG_RSP] = greg_t(top - 8);
    machine->gregs[REG_RIP] = greg_t(reinterpret_cast<uintptr_t>(&end_thread));
#else
    machine->sp = top;
    machine->pc = reinterpret_cast<uintptr_t>(&end_thread);
#endif
}

void install() {
    struct sigaction action {};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    for (int number : {SIGSEGV, SIGBUS, SIGFPE}) sigaction(number, &action, &before[number]);
}

// The handler needs a separate stack: the device stack may have overflowed.
void signal_stack() {
    stack_t now;
    if (sigaltstack(nullptr, &now) == 0 && (now.ss_flags & SS_DISABLE) == 0) return;
    stack_t mine{};
    mine.ss_size = 64 << 10;
    mine.ss_sp = malloc(mine.ss_size);
    sigaltstack(&mine, nullptr);
}

#endif

std::atomic<time_t> started{0};
std::mutex name_mutex;
std::string* running_name = new std::string;

time_t seconds() {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

void watch() {
    for (;;) {
        sleep(1);
        time_t since = started;
        if (since == 0 || seconds() - since <= time_t(settings().timeout)) continue;
        std::lock_guard<std::mutex> lock(name_mutex);
        say("kernel %s has run for more than %u s (STANDIN_TIMEOUT); a loop that spins on memory must call "
            "__nanosleep or standin::poll",
            running_name->c_str(), settings().timeout);
        abort();
    }
}

}  // namespace

FaultGuard::FaultGuard() {
#if !defined(__SANITIZE_ADDRESS__)
    static std::once_flag once;
    std::call_once(once, install);
    thread_local bool prepared = (signal_stack(), true);
    (void)prepared;
#endif
}

Deadline::Deadline(const char* kernel) {
    if (settings().timeout == 0) return;
    static std::once_flag once;
    std::call_once(once, [] { std::thread(watch).detach(); });
    std::lock_guard<std::mutex> lock(name_mutex);
    *running_name = kernel;
    started = seconds() + (seconds() == 0);
}

Deadline::~Deadline() { started = 0; }

}  // namespace standin
