// Streams, and the operations that they execute, queue or capture.
#pragma once
#include <memory>
#include <variant>
#include <vector>

#include "cuda_abi.h"
#include "launch.h"

namespace standin {

struct Copy {
    char* to;
    const char* from;
    size_t to_pitch, from_pitch, width, height;
    bool to_host, from_host;
    std::shared_ptr<std::vector<char>> staged;   // pageable host memory is read at once
};

struct Fill {
    char* to;
    size_t pitch;
    unsigned value, element;
    size_t width, height;   // in elements, in rows
};

struct HostCall {
    CUhostFn function;
    void* data;
};

struct Stamp {
    CUevent event;
};

struct Free {
    char* start;
};

struct Empty {};

using Operation = std::variant<Launch, Copy, Fill, HostCall, Stamp, Free, Empty>;

// Executes one operation. Returns a CUresult, sticky if it is a kernel's.
int perform(const Operation& operation);

// Checks the memory that an operation accesses.
int check(const Operation& operation);

// Executes, queues (STANDIN_LAZY) or captures the operation.
int submit(CUstream stream, Operation operation);

// Executes all queued operations, as a synchronization does. Returns the sticky error.
int flush_queue();

// 0 if the call may be made now: no capture in progress forbids it.
int forbidden_by_capture();

// Before work on the legacy default stream.
CUstream_st* stream_of(CUstream handle);
bool is_stream(CUstream handle);

}  // namespace standin

struct CUgraphNode_st {
    standin::Operation operation;
    CUgraph_st* graph = nullptr;
    size_t index = 0;
    std::vector<size_t> after;     // the nodes that it depends on, by index
    std::vector<void*> params;   // for cuGraphKernelNodeGetParams
};

// Nodes in the order of creation, which is a topological order: a node is
// created after its dependencies.
struct CUgraph_st {
    std::vector<std::unique_ptr<CUgraphNode_st>> nodes;
};

struct Capture {
    std::unique_ptr<CUgraph_st> graph;
    CUstream_st* origin = nullptr;
    unsigned mode = 0;
    bool broken = false, active = true;
    uint64_t id = 0;
    std::vector<CUstream_st*> streams;
};

struct CUstream_st {
    unsigned flags = 0;
    int priority = 0;
    std::shared_ptr<Capture> capture;
    bool joined = true;        // all captured work has been waited for by another stream
    uint64_t serial = 0;       // captured operations
    std::vector<size_t> tail;  // the captured nodes that the next one depends on
};

struct CUevent_st {
    unsigned flags = 0;
    bool recorded = false;
    double time = 0;           // seconds
    std::shared_ptr<Capture> capture;
    CUstream_st* captured_in = nullptr;
    uint64_t captured_serial = 0;
    std::vector<size_t> tail;
};
