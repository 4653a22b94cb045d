// A device thread that faults ends its launch, in one line, not the process;
// a launch that never ends is ended with it.
#pragma once

namespace standin {

// While it lives, faults of this host thread are looked at. Under
// AddressSanitizer it does nothing: that reports better.
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
