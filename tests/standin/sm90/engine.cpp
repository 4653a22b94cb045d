// Loading of cubins, and the launches of their kernels.
#include "engine.h"

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "grid.h"
#include "occupancy.h"
#include "options.h"
#include "run.h"

namespace standin::sm90 {

bool FaultRecord::failed() {
    std::lock_guard<std::mutex> lock(mutex);
    return result.failure != Failure::none;
}

void FaultRecord::record(Failure failure, const std::string& text) {
    std::lock_guard<std::mutex> lock(mutex);
    if (result.failure != Failure::none) return;
    result.failure = failure;
    result.text = text;
}

void FaultRecord::record(const Grid& grid, const Context& c, const Fault& fault) {
    const Group& g = c.warp->groups[c.warp->current < c.warp->groups.size() ? c.warp->current : 0];
    const Instruction& i = grid.module->code.instructions[g.at == 0 ? 0 : g.at - 1];
    record(fault.failure, place_of(grid, c, i, fault.lane) + ": " + fault.what());
}

namespace {

Module* load(const void* image, std::string* error) {
    try {
        Cubin cubin = read_cubin(image);
        auto module = std::make_unique<Module>();
        module->code = decode(disassemble(cubin, options().nvdisasm, options().cache));
        for (CubinKernel& k : cubin.kernels) {
            LoadedKernel loaded;
            size_t section = 0;
            while (section < module->code.sections.size() && module->code.sections[section] != k.section) ++section;
            if (section == module->code.sections.size()) throw std::runtime_error("kernel " + k.facts.name + " without code");
            loaded.entry = module->code.section_start[section];
            for (u32 at = loaded.entry; at < module->code.section_end[section]; ++at)
                loaded.waits |= module->code.texts[module->code.instructions[at].text].find("ACQBULK") != std::string::npos;
            loaded.rows = register_row + std::max(module->code.registers, k.facts.registers);
            module->facts.push_back(k.facts);
            loaded.cubin = std::move(k);
            module->kernels.push_back(std::move(loaded));
        }
        return module.release();
    } catch (const std::exception& e) {
        *error = e.what();
        return nullptr;
    }
}

void unload(Module* module) { delete module; }

const std::vector<KernelFacts>& kernels(const Module* module) { return module->facts; }

LaunchResult run(const LaunchRequest& request) {
    FaultRecord fault;
    try {
        Grid grid(request);
        if (options().report.empty())
            run_for_results(grid, fault);
        else
            run_for_time(grid, fault);
    } catch (const std::exception& e) {
        fault.record(Failure::unsupported, e.what());
    }
    return fault.result;
}

}  // namespace
}  // namespace standin::sm90

extern "C" __attribute__((visibility("default"))) const standin::sm90::Engine* standin_sm90_engine() {
    using namespace standin::sm90;
    static const Engine engine = {load, unload, kernels, resident_blocks, run};
    return &engine;
}
