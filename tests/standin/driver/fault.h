// Faults of device threads: a fault ends the launch with one line, not the
// process. A launch that does not end in time ends the process.
#pragma once

namespace standin {

// Handler of this host thread's faults during its lifetime. It does nothing
// under AddressSanitizer, whose reports are better.
struct FaultGuard {
    FaultGuard();
};

// Ends the process if a launch takes longer than STANDIN_TIMEOUT.
class Deadline {
  public:
    explicit Deadline(const char* kernel);
    ~Deadline();
};

}  // namespace standin
