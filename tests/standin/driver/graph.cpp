// CUDA graphs: captured or built node by node, replayed in an order that their dependencies allow.
#include <algorithm>
#include <set>

#include "counts.h"
#include "settings.h"
#include "state.h"
#include "stream.h"

using namespace standin;

// An executable graph has its own copies of the nodes, as in CUDA.
struct CUgraphExec_st {
    std::vector<Operation> operations;
    std::vector<std::vector<size_t>> after;   // of each operation, by index
    uint64_t flags = 0;
};

namespace {

std::set<CUgraph>& graphs() {
    static auto* set = new std::set<CUgraph>;
    return *set;
}
std::set<CUgraphExec>& executables() {
    static auto* set = new std::set<CUgraphExec>;
    return *set;
}

// Graphs from a capture enter the set at their first use.
bool is_graph(CUgraph graph) {
    if (graph == nullptr) return false;
    graphs().insert(graph);
    return true;
}

unsigned type_of(const Operation& o) {
    if (std::holds_alternative<Launch>(o)) return 0;
    if (std::holds_alternative<Copy>(o)) return 1;
    if (std::holds_alternative<Fill>(o)) return 2;
    if (std::holds_alternative<HostCall>(o)) return 3;
    return 5;
}

int add(CUgraphNode* out, CUgraph graph, const CUgraphNode* dependencies, size_t count, Operation operation) {
    if (out == nullptr || !is_graph(graph) || (count != 0 && dependencies == nullptr)) return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; ++i)
        if (dependencies[i] == nullptr || dependencies[i]->graph != graph) return CUDA_ERROR_INVALID_VALUE;
    auto node = std::make_unique<CUgraphNode_st>();
    node->operation = std::move(operation);
    node->graph = graph;
    node->index = graph->nodes.size();
    for (size_t i = 0; i < count; ++i) node->after.push_back(dependencies[i]->index);
    *out = node.get();
    graph->nodes.push_back(std::move(node));
    return CUDA_SUCCESS;
}

int launch_of(const CUDA_KERNEL_NODE_PARAMS* p, Launch* launch) {
    if (p == nullptr) return CUDA_ERROR_INVALID_VALUE;
    launch->function = p->func;
    launch->grid = dim3(p->gridDimX, p->gridDimY, p->gridDimZ);
    launch->block = dim3(p->blockDimX, p->blockDimY, p->blockDimZ);
    launch->shared = p->sharedMemBytes;
    return prepare(launch, p->kernelParams, p->extra);
}

// The order of creation, which is one of those that the dependencies allow; the last node that may run first; or a
// random one of those that may run, another for each replay.
std::vector<size_t> replay_order(const CUgraphExec_st& graph) {
    const size_t count = graph.operations.size();
    std::vector<size_t> order, ready, missing(count);
    std::vector<std::vector<size_t>> before(count);
    for (size_t node = 0; node < count; ++node) {
        missing[node] = graph.after[node].size();
        for (size_t other : graph.after[node]) before[other].push_back(node);
        if (missing[node] == 0) ready.push_back(node);
    }
    static uint64_t x = settings().seed * 0x9e3779b97f4a7c15ull + 0x7654321;
    while (!ready.empty()) {
        size_t pick = 0;
        if (settings().order == Order::forward) {
            pick = size_t(std::min_element(ready.begin(), ready.end()) - ready.begin());
        } else if (settings().order == Order::backward) {
            pick = size_t(std::max_element(ready.begin(), ready.end()) - ready.begin());
        } else {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            pick = size_t(x % ready.size());
        }
        size_t node = ready[pick];
        ready.erase(ready.begin() + long(pick));
        order.push_back(node);
        for (size_t next : before[node])
            if (--missing[next] == 0) ready.push_back(next);
    }
    return order;
}

}  // namespace

STANDIN_API cuGraphCreate(CUgraph* graph, unsigned) {
    ENTER();
    if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *graph = new CUgraph_st;
    graphs().insert(*graph);
    return CUDA_SUCCESS;
}

STANDIN_API cuGraphDestroy(CUgraph graph) {
    ENTER();
    if (!is_graph(graph)) return CUDA_ERROR_INVALID_VALUE;
    graphs().erase(graph);
    delete graph;
    return CUDA_SUCCESS;
}

STANDIN_API cuGraphAddKernelNode_v2(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count,
                                    const CUDA_KERNEL_NODE_PARAMS* params) {
    ENTER();
    Launch launch;
    if (int code = launch_of(params, &launch)) return code;
    return add(node, graph, dependencies, count, std::move(launch));
}

STANDIN_API cuGraphAddMemsetNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count,
                                 const CUDA_MEMSET_NODE_PARAMS* p, CUcontext) {
    ENTER();
    if (p == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Fill fill{reinterpret_cast<char*>(p->dst), p->height == 1 ? p->width * p->elementSize : p->pitch, p->value,
              p->elementSize, p->width, p->height};
    if (int code = check(fill)) return code;
    return add(node, graph, dependencies, count, fill);
}

STANDIN_API cuGraphAddEmptyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count) {
    ENTER();
    return add(node, graph, dependencies, count, Empty{});
}

STANDIN_API cuGraphGetNodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
    ENTER();
    if (!is_graph(graph) || count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (nodes != nullptr)
        for (size_t i = 0; i < std::min(*count, graph->nodes.size()); ++i) nodes[i] = graph->nodes[i].get();
    *count = graph->nodes.size();
    return CUDA_SUCCESS;
}

STANDIN_API cuGraphNodeGetType(CUgraphNode node, unsigned* type) {
    ENTER();
    if (node == nullptr || type == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *type = type_of(node->operation);
    return CUDA_SUCCESS;
}

STANDIN_API cuGraphKernelNodeGetParams_v2(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS* p) {
    ENTER();
    Launch* l = node == nullptr ? nullptr : std::get_if<Launch>(&node->operation);
    if (l == nullptr || p == nullptr) return CUDA_ERROR_INVALID_VALUE;
    node->params.clear();
    for (size_t offset : l->offsets) node->params.push_back(l->params.get() + offset);
    *p = CUDA_KERNEL_NODE_PARAMS{l->function, l->grid.x,  l->grid.y,           l->grid.z,
                                 l->block.x,  l->block.y, l->block.z,          unsigned(l->shared),
                                 node->params.data(),     nullptr,    nullptr, current_context()};
    return CUDA_SUCCESS;
}

STANDIN_API cuGraphKernelNodeSetParams_v2(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS* p) {
    ENTER();
    if (node == nullptr || !std::holds_alternative<Launch>(node->operation)) return CUDA_ERROR_INVALID_VALUE;
    Launch launch;
    if (int code = launch_of(p, &launch)) return code;
    node->operation = std::move(launch);
    return CUDA_SUCCESS;
}

STANDIN_API cuGraphInstantiateWithFlags(CUgraphExec* out, CUgraph graph, uint64_t flags) {
    ENTER();
    if (out == nullptr || !is_graph(graph)) return CUDA_ERROR_INVALID_VALUE;
    // DEVICE_LAUNCH and AUTO_FREE_ON_LAUNCH exclude each other.
    if ((flags & 4) != 0 && (flags & 1) != 0) return CUDA_ERROR_INVALID_VALUE;
    auto* executable = new CUgraphExec_st;
    executable->flags = flags;
    for (const auto& node : graph->nodes) {
        executable->operations.push_back(node->operation);
        executable->after.push_back(node->after);
    }
    executables().insert(executable);
    ++counts().graph_instantiations;
    *out = executable;
    return CUDA_SUCCESS;
}

STANDIN_API cuGraphExecGetFlags(CUgraphExec executable, uint64_t* flags) {
    ENTER();
    if (executables().count(executable) == 0 || flags == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *flags = executable->flags;
    return CUDA_SUCCESS;
}

STANDIN_API cuGraphExecDestroy(CUgraphExec executable) {
    ENTER();
    if (executables().erase(executable) == 0) return CUDA_ERROR_INVALID_VALUE;
    flush_queue();
    delete executable;
    return CUDA_SUCCESS;
}

STANDIN_API cuGraphUpload(CUgraphExec executable, CUstream stream) {
    ENTER();
    return executables().count(executable) == 0 || !is_stream(stream) ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

STANDIN_API cuGraphLaunch(CUgraphExec executable, CUstream stream) {
    ENTER();
    if (executables().count(executable) == 0 || !is_stream(stream)) return CUDA_ERROR_INVALID_VALUE;
    if (stream_of(stream)->capture != nullptr) {
        say("cuGraphLaunch on a capturing stream: not supported by the stand-in");
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    // The memory of the graph's operations may have been freed since.
    for (const Operation& operation : executable->operations)
        if (int code = check(operation)) return code;
    ++counts().graph_launches;
    for (size_t index : replay_order(*executable)) {
        if (state().sticky != 0) break;
        if (int code = submit(stream, executable->operations[index])) return code;
    }
    return CUDA_SUCCESS;
}

STANDIN_API cuGraphExecKernelNodeSetParams_v2(CUgraphExec executable, CUgraphNode node,
                                              const CUDA_KERNEL_NODE_PARAMS* p) {
    ENTER();
    if (executables().count(executable) == 0 || node == nullptr || node->index >= executable->operations.size())
        return CUDA_ERROR_INVALID_VALUE;
    if (!std::holds_alternative<Launch>(executable->operations[node->index])) return CUDA_ERROR_INVALID_VALUE;
    Launch launch;
    if (int code = launch_of(p, &launch)) return code;
    executable->operations[node->index] = std::move(launch);
    return CUDA_SUCCESS;
}

// `result`: the outcome, then two nodes, as CUgraphExecUpdateResultInfo has them.
STANDIN_API cuGraphExecUpdate_v2(CUgraphExec executable, CUgraph graph, unsigned* result) {
    ENTER();
    if (executables().count(executable) == 0 || !is_graph(graph)) return CUDA_ERROR_INVALID_VALUE;
    bool same = executable->operations.size() == graph->nodes.size();
    for (size_t i = 0; same && i < graph->nodes.size(); ++i)
        same = executable->operations[i].index() == graph->nodes[i]->operation.index();
    if (result != nullptr) *result = same ? 0 : 2;   // TOPOLOGY_CHANGED
    if (!same) return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
    for (size_t i = 0; i < graph->nodes.size(); ++i) {
        executable->operations[i] = graph->nodes[i]->operation;
        executable->after[i] = graph->nodes[i]->after;
    }
    return CUDA_SUCCESS;
}
