// Loading of images: those of the NVRTC half contain a shared library; others are machine code.
#include "module.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <set>

#include "../image.h"
#include "block.h"
#include "counts.h"
#include "machine_code.h"
#include "memory.h"
#include "settings.h"
#include "state.h"
#include "stream.h"

using namespace standin;

namespace {

std::set<CUmod_st*>& modules() {
    static auto* set = new std::set<CUmod_st*>;
    return *set;
}

std::set<CUfunc_st*>& functions() {
    static auto* set = new std::set<CUfunc_st*>;
    return *set;
}

// Every load gets its own file, otherwise modules would share their globals.
bool write_copy(const std::string& library, std::string* path) {
    static unsigned number = 0;
    std::string folder = settings().cache.empty() ? P_tmpdir : settings().cache;
    *path = folder + "/loaded-" + std::to_string(getpid()) + "-" + std::to_string(number++) + ".so";
    FILE* file = fopen(path->c_str(), "wb");
    if (file == nullptr) return false;
    bool good = fwrite(library.data(), 1, library.size(), file) == library.size();
    return fclose(file) == 0 && good;
}

int load(CUmodule* out, const std::string& library) {
    auto module = std::make_unique<CUmod_st>();
    if (!write_copy(library, &module->copy)) {
        say("cannot write the module to %s", module->copy.c_str());
        return CUDA_ERROR_INVALID_IMAGE;
    }
    module->library = dlopen(module->copy.c_str(), RTLD_NOW | RTLD_LOCAL);
    // AddressSanitizer reads the file again to name source lines.
#if !defined(__SANITIZE_ADDRESS__)
    unlink(module->copy.c_str());
    module->copy.clear();
#endif
    if (module->library == nullptr) {
        say("cannot load a module: %s", dlerror());
        return CUDA_ERROR_INVALID_IMAGE;
    }
    auto attach = reinterpret_cast<void (*)(const Runtime*)>(dlsym(module->library, "standin_attach"));
    auto table = reinterpret_cast<const Kernel* (*)()>(dlsym(module->library, "standin_kernels"));
    if (attach == nullptr || table == nullptr) {
        say("a module without a kernel table");
        return CUDA_ERROR_INVALID_IMAGE;
    }
    // As the driver does: machine code for this generation, PTX for any later one.
    auto arch = static_cast<const int*>(dlsym(module->library, "standin_arch"));
    int device = settings().major * 10 + settings().minor;
    if (arch != nullptr && (arch[0] > device || (arch[1] != 0 && arch[0] / 10 != settings().major))) {
        say("a module for %s_%d does not run on a device of compute capability %d.%d", arch[1] != 0 ? "sm" : "compute",
            arch[0], settings().major, settings().minor);
        dlclose(module->library);
        return CUDA_ERROR_NO_BINARY_FOR_GPU;
    }
    attach(&runtime_table());
    for (const Kernel* kernel = table(); kernel->entry != nullptr; ++kernel) {
        Dl_info info;
        auto function = std::make_unique<CUfunc_st>();
        bool named = dladdr(kernel->entry, &info) != 0 && info.dli_sname != nullptr && info.dli_saddr == kernel->entry;
        function->module = module.get();
        function->name = named ? info.dli_sname : kernel->expression;
        function->kernel = kernel;
        functions().insert(function.get());
        module->functions[function->name] = std::move(function);
    }
    ++counts().modules;
    modules().insert(module.get());
    *out = module.release();
    return CUDA_SUCCESS;
}

}  // namespace

namespace standin {
bool is_function(CUfunction function) { return functions().count(function) != 0; }
}  // namespace standin

STANDIN_API cuModuleLoadData(CUmodule* module, const void* image) {
    ENTER();
    if (module == nullptr || image == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (is_machine_code(image)) {
        auto loaded = std::make_unique<CUmod_st>();
        if (int code = load_machine_code(image, loaded.get())) return code;
        for (auto& [name, function] : loaded->functions) functions().insert(function.get());
        ++counts().modules;
        modules().insert(loaded.get());
        *module = loaded.release();
        return CUDA_SUCCESS;
    }
    std::string library, error;
    if (!image_library(image, &library, &error)) {
        say("cuModuleLoadData: %s", error.c_str());
        return CUDA_ERROR_INVALID_IMAGE;
    }
    return load(module, library);
}

STANDIN_API cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned, void*, void**) {
    return cuModuleLoadData(module, image);
}

STANDIN_API cuModuleLoadFatBinary(CUmodule* module, const void* image) { return cuModuleLoadData(module, image); }

STANDIN_API cuModuleLoad(CUmodule* module, const char* path) {
    ENTER();
    if (module == nullptr || path == nullptr) return CUDA_ERROR_INVALID_VALUE;
    FILE* file = fopen(path, "rb");
    if (file == nullptr) return CUDA_ERROR_FILE_NOT_FOUND;
    std::string bytes;
    char chunk[65536];
    while (size_t got = fread(chunk, 1, sizeof(chunk), file)) bytes.append(chunk, got);
    fclose(file);
    bytes.append(64, '\0');   // an image is terminated by zeros
    return cuModuleLoadData(module, bytes.data());
}

STANDIN_API cuModuleUnload(CUmodule module) {
    ENTER();
    flush_queue();
    if (modules().erase(module) == 0) return CUDA_ERROR_INVALID_HANDLE;
    for (auto& [name, function] : module->functions) functions().erase(function.get());
    if (module->machine_code != nullptr)
        unload_machine_code(module);
    else
        dlclose(module->library);
    if (!module->copy.empty()) unlink(module->copy.c_str());
    delete module;
    return CUDA_SUCCESS;
}

STANDIN_API cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
    ENTER();
    if (function == nullptr || name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (modules().count(module) == 0) return CUDA_ERROR_INVALID_HANDLE;
    auto found = module->functions.find(name);
    if (found == module->functions.end()) return CUDA_ERROR_NOT_FOUND;
    *function = found->second.get();
    return CUDA_SUCCESS;
}

STANDIN_API cuModuleGetFunctionCount(unsigned* count, CUmodule module) {
    ENTER();
    if (count == nullptr || modules().count(module) == 0) return CUDA_ERROR_INVALID_VALUE;
    *count = unsigned(module->functions.size());
    return CUDA_SUCCESS;
}

STANDIN_API cuModuleGetGlobal_v2(CUdeviceptr* address, size_t* bytes, CUmodule module, const char* name) {
    ENTER();
    if (name == nullptr || modules().count(module) == 0) return CUDA_ERROR_INVALID_VALUE;
    if (module->machine_code != nullptr) return CUDA_ERROR_NOT_FOUND;
    void* symbol = dlsym(module->library, name);
    Dl_info info;
    ElfW(Sym)* entry = nullptr;
    if (symbol == nullptr || dladdr1(symbol, &info, reinterpret_cast<void**>(&entry), RTLD_DL_SYMENT) == 0 ||
        entry == nullptr)
        return CUDA_ERROR_NOT_FOUND;
    add_range(static_cast<char*>(symbol), entry->st_size, Kind::global);
    if (address != nullptr) *address = reinterpret_cast<CUdeviceptr>(symbol);
    if (bytes != nullptr) *bytes = entry->st_size;
    return CUDA_SUCCESS;
}

STANDIN_API cuModuleGetLoadingMode(int* mode) {
    if (mode == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *mode = 1;
    return CUDA_SUCCESS;
}

STANDIN_API cuFuncGetName(const char** name, CUfunction function) {
    ENTER();
    if (name == nullptr || !is_function(function)) return CUDA_ERROR_INVALID_VALUE;
    *name = function->name.c_str();
    return CUDA_SUCCESS;
}

STANDIN_API cuFuncGetModule(CUmodule* module, CUfunction function) {
    ENTER();
    if (module == nullptr || !is_function(function)) return CUDA_ERROR_INVALID_VALUE;
    *module = function->module;
    return CUDA_SUCCESS;
}

STANDIN_API cuFuncGetParamInfo(CUfunction function, size_t index, size_t* offset, size_t* bytes) {
    ENTER();
    if (!is_function(function) || index >= function->kernel->param_count) return CUDA_ERROR_INVALID_VALUE;
    size_t at = 0;
    for (size_t i = 0;; at += function->kernel->params[i++].bytes) {
        size_t align = function->kernel->params[i].align;
        at = (at + align - 1) / align * align;
        if (i == index) break;
    }
    if (offset != nullptr) *offset = at;
    if (bytes != nullptr) *bytes = function->kernel->params[index].bytes;
    return CUDA_SUCCESS;
}
