#include "machine_code.h"

#include <dlfcn.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "settings.h"

namespace standin {
namespace {

// Null without STANDIN_SM90.
const sm90::Engine* engine() {
    static const sm90::Engine* const loaded = []() -> const sm90::Engine* {
        if (settings().sm90_engine.empty()) return nullptr;
        void* library = dlopen(settings().sm90_engine.c_str(), RTLD_NOW | RTLD_LOCAL);
        auto entry = library == nullptr
                         ? nullptr
                         : reinterpret_cast<const sm90::Engine* (*)()>(dlsym(library, "standin_sm90_engine"));
        if (entry == nullptr) {
            say("cannot load the engine for machine code: %s", dlerror());
            return nullptr;
        }
        return entry();
    }();
    return loaded;
}

}  // namespace

bool is_machine_code(const void* image) {
    constexpr uint16_t em_cuda = 190;
    if (memcmp(image, ELFMAG, SELFMAG) != 0) return false;
    Elf64_Ehdr header;
    memcpy(&header, image, sizeof(header));
    return header.e_machine == em_cuda;
}

int load_machine_code(const void* image, CUmod_st* module) {
    if (engine() == nullptr) {
        say("cuModuleLoadData: machine code of a GPU, which runs only where STANDIN_SM90 names the folder of nvdisasm");
        return CUDA_ERROR_INVALID_IMAGE;
    }
    std::string error;
    module->machine_code = engine()->load(image, &error);
    if (module->machine_code == nullptr) {
        say("cuModuleLoadData: %s", error.c_str());
        return CUDA_ERROR_INVALID_IMAGE;
    }
    const auto& kernels = engine()->kernels(module->machine_code);
    for (unsigned k = 0; k < kernels.size(); ++k) {
        const sm90::KernelFacts& facts = kernels[k];
        auto function = std::make_unique<CUfunc_st>();
        function->module = module;
        function->name = facts.name;
        function->facts = &facts;
        function->fact_index = k;
        function->static_shared = facts.static_shared;
        for (size_t p = 0; p < facts.params.size(); ++p) {
            // An alignment that leads to the parameter's offset.
            unsigned offset = facts.params[p].offset, align = offset == 0 ? 16 : offset & (0 - offset);
            function->own_params.push_back(Param{facts.params[p].bytes, align < 16 ? align : 16, false, 1});
        }
        function->own_kernel = Kernel{facts.name.c_str(), nullptr, nullptr, function->own_params.data(),
                                      unsigned(function->own_params.size()), facts.max_threads};
        function->kernel = &function->own_kernel;
        module->functions[function->name] = std::move(function);
    }
    return CUDA_SUCCESS;
}

void unload_machine_code(CUmod_st* module) { engine()->unload(module->machine_code); }

int run_machine_code(const Launch& launch) {
    const CUfunc_st& f = *launch.function;
    if (launch.cluster.x * launch.cluster.y * launch.cluster.z != 1) {
        say("kernel %s: clusters are not known to the engine for machine code", f.name.c_str());
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    std::vector<sm90::MemoryRange> memory;
    std::vector<uint8_t> written;
    for (const Range& range : all_ranges()) {
        memory.push_back({range.start, range.bytes});
        written.push_back(range.written_by_kernels);
    }
    sm90::LaunchRequest r{};
    r.module = f.module->machine_code;
    r.kernel = f.fact_index;
    const dim3 &g = launch.grid, &b = launch.block;
    r.grid[0] = g.x, r.grid[1] = g.y, r.grid[2] = g.z;
    r.block[0] = b.x, r.block[1] = b.y, r.block[2] = b.z;
    r.dynamic_shared = launch.shared;
    r.cooperative = launch.cooperative;
    r.params = launch.params.get();
    r.memory = memory.data();
    r.memory_count = memory.size();
    r.written = written.data();
    r.order = unsigned(settings().order);
    r.seed = settings().seed;
    r.threads = settings().threads;
    r.poison = settings().poison_shared ? poison : 0;
    sm90::LaunchResult result = engine()->run(r);
    for (size_t k = 0; k < memory.size(); ++k)
        if (written[k]) mark_written_by_kernels(memory[k].start);
    if (result.failure == sm90::Failure::none) return CUDA_SUCCESS;
    say("kernel %s: %s", f.name.c_str(), result.text.c_str());
    switch (result.failure) {
        case sm90::Failure::illegal_address: return CUDA_ERROR_ILLEGAL_ADDRESS;
        case sm90::Failure::misaligned_address: return CUDA_ERROR_MISALIGNED_ADDRESS;
        case sm90::Failure::unsupported: return CUDA_ERROR_NOT_SUPPORTED;
        default: return CUDA_ERROR_LAUNCH_FAILED;
    }
}

int blocks_per_multiprocessor_of(const CUfunc_st& function, size_t threads, size_t dynamic_shared) {
    return engine()->resident_blocks(*function.facts, unsigned(threads), dynamic_shared);
}

}  // namespace standin
