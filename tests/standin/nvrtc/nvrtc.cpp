// The functions of NVRTC.
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <map>
#include <memory>
#include <set>

#include "../device/abi.h"
#include "../image.h"
#include "compile.h"

using namespace standin;

typedef int nvrtcResult;
enum {
    NVRTC_SUCCESS = 0,
    NVRTC_ERROR_INVALID_INPUT = 3,
    NVRTC_ERROR_INVALID_PROGRAM = 4,
    NVRTC_ERROR_INVALID_OPTION = 5,
    NVRTC_ERROR_COMPILATION = 6,
    NVRTC_ERROR_NO_NAME_EXPRESSIONS_AFTER_COMPILATION = 8,
    NVRTC_ERROR_NO_LOWERED_NAMES_BEFORE_COMPILATION = 9,
    NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID = 10,
    NVRTC_ERROR_INTERNAL_ERROR = 11,
};

struct _nvrtcProgram {
    Source source;
    Options options;
    bool compiled = false, good = false;
    std::string log, ptx, cubin;
    std::map<std::string, std::string> lowered;
};
typedef _nvrtcProgram* nvrtcProgram;

#define NVRTC_API extern "C" __attribute__((visibility("default"))) nvrtcResult

namespace {

// The library's symbols of the named template instances.
void lower_names(nvrtcProgram program, const std::string& path) {
    if (program->source.expressions.empty()) return;
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return;
    auto table = reinterpret_cast<const Kernel* (*)()>(dlsym(library, "standin_kernels"));
    for (const Kernel* k = table(); k->entry != nullptr; ++k) {
        Dl_info info;
        bool named = dladdr(k->entry, &info) != 0 && info.dli_sname != nullptr && info.dli_saddr == k->entry;
        program->lowered[k->expression] = named ? info.dli_sname : k->expression;
    }
    dlclose(library);
}

nvrtcResult give(const std::string& text, char* out) {
    if (out == nullptr) return NVRTC_ERROR_INVALID_INPUT;
    memcpy(out, text.data(), text.size());
    return NVRTC_SUCCESS;
}

}  // namespace

NVRTC_API nvrtcVersion(int* major, int* minor) {
    if (major == nullptr || minor == nullptr) return NVRTC_ERROR_INVALID_INPUT;
    *major = 12;
    *minor = 8;
    return NVRTC_SUCCESS;
}

NVRTC_API nvrtcGetNumSupportedArchs(int* count) {
    if (count == nullptr) return NVRTC_ERROR_INVALID_INPUT;
    *count = 7;
    return NVRTC_SUCCESS;
}
NVRTC_API nvrtcGetSupportedArchs(int* archs) {
    static const int known[] = {70, 75, 80, 86, 89, 90, 100};
    if (archs == nullptr) return NVRTC_ERROR_INVALID_INPUT;
    memcpy(archs, known, sizeof(known));
    return NVRTC_SUCCESS;
}

extern "C" __attribute__((visibility("default"))) const char* nvrtcGetErrorString(nvrtcResult result) {
    switch (result) {
        case NVRTC_SUCCESS: return "NVRTC_SUCCESS";
        case NVRTC_ERROR_INVALID_INPUT: return "NVRTC_ERROR_INVALID_INPUT";
        case NVRTC_ERROR_INVALID_PROGRAM: return "NVRTC_ERROR_INVALID_PROGRAM";
        case NVRTC_ERROR_INVALID_OPTION: return "NVRTC_ERROR_INVALID_OPTION";
        case NVRTC_ERROR_COMPILATION: return "NVRTC_ERROR_COMPILATION";
        case NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID: return "NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID";
        default: return "NVRTC_ERROR_INTERNAL_ERROR";
    }
}

NVRTC_API nvrtcCreateProgram(nvrtcProgram* out, const char* text, const char* name, int count,
                             const char* const* headers, const char* const* names) {
    if (out == nullptr || text == nullptr || count < 0) return NVRTC_ERROR_INVALID_INPUT;
    auto program = std::make_unique<_nvrtcProgram>();
    program->source.text = text;
    program->source.name = name == nullptr || *name == 0 ? "default_program" : name;
    for (int i = 0; i < count; ++i) {
        if (headers[i] == nullptr || names[i] == nullptr) return NVRTC_ERROR_INVALID_INPUT;
        program->source.headers.emplace_back(names[i], headers[i]);
    }
    *out = program.release();
    return NVRTC_SUCCESS;
}

NVRTC_API nvrtcDestroyProgram(nvrtcProgram* program) {
    if (program == nullptr || *program == nullptr) return NVRTC_ERROR_INVALID_PROGRAM;
    delete *program;
    *program = nullptr;
    return NVRTC_SUCCESS;
}

NVRTC_API nvrtcAddNameExpression(nvrtcProgram program, const char* expression) {
    if (program == nullptr) return NVRTC_ERROR_INVALID_PROGRAM;
    if (expression == nullptr) return NVRTC_ERROR_INVALID_INPUT;
    if (program->compiled) return NVRTC_ERROR_NO_NAME_EXPRESSIONS_AFTER_COMPILATION;
    program->source.expressions.push_back(expression);
    return NVRTC_SUCCESS;
}

NVRTC_API nvrtcCompileProgram(nvrtcProgram program, int count, const char* const* options) {
    if (program == nullptr) return NVRTC_ERROR_INVALID_PROGRAM;
    if (count < 0 || (count != 0 && options == nullptr)) return NVRTC_ERROR_INVALID_INPUT;
    std::vector<std::string> arguments(options, options + count);
    program->options = Options();
    if (!parse_options(arguments, &program->options, &program->log)) {
        program->log += "\n";
        return NVRTC_ERROR_INVALID_OPTION;
    }
    Compiled compiled = compile(program->source, program->options);
    program->compiled = true;
    program->good = compiled.good;
    program->log = compiled.log;
    if (!compiled.good) return NVRTC_ERROR_COMPILATION;
    program->ptx = ptx_of(compiled.library, program->source.name);
    if (program->options.real_arch) program->cubin = compiled.library;
    lower_names(program, compiled.path);
    return NVRTC_SUCCESS;
}

NVRTC_API nvrtcGetLoweredName(nvrtcProgram program, const char* expression, const char** name) {
    if (program == nullptr) return NVRTC_ERROR_INVALID_PROGRAM;
    if (expression == nullptr || name == nullptr) return NVRTC_ERROR_INVALID_INPUT;
    if (!program->compiled) return NVRTC_ERROR_NO_LOWERED_NAMES_BEFORE_COMPILATION;
    for (const std::string& key : {std::string(expression), "::" + std::string(expression)}) {
        auto found = program->lowered.find(key);
        if (found == program->lowered.end()) continue;
        *name = found->second.c_str();
        return NVRTC_SUCCESS;
    }
    return NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID;
}

NVRTC_API nvrtcGetPTXSize(nvrtcProgram program, size_t* bytes) {
    if (program == nullptr || !program->good) return NVRTC_ERROR_INVALID_PROGRAM;
    *bytes = program->ptx.size() + 1;
    return NVRTC_SUCCESS;
}
NVRTC_API nvrtcGetPTX(nvrtcProgram program, char* out) {
    if (program == nullptr || !program->good) return NVRTC_ERROR_INVALID_PROGRAM;
    return give(program->ptx + '\0', out);
}
NVRTC_API nvrtcGetCUBINSize(nvrtcProgram program, size_t* bytes) {
    if (program == nullptr || !program->good) return NVRTC_ERROR_INVALID_PROGRAM;
    *bytes = program->cubin.size();
    return NVRTC_SUCCESS;
}
NVRTC_API nvrtcGetCUBIN(nvrtcProgram program, char* out) {
    if (program == nullptr || !program->good) return NVRTC_ERROR_INVALID_PROGRAM;
    return give(program->cubin, out);
}
NVRTC_API nvrtcGetProgramLogSize(nvrtcProgram program, size_t* bytes) {
    if (program == nullptr) return NVRTC_ERROR_INVALID_PROGRAM;
    *bytes = program->log.size() + 1;
    return NVRTC_SUCCESS;
}
NVRTC_API nvrtcGetProgramLog(nvrtcProgram program, char* out) {
    if (program == nullptr) return NVRTC_ERROR_INVALID_PROGRAM;
    return give(program->log + '\0', out);
}

// Code formats that do not apply on a CPU.
#define STANDIN_NONE(name)                                                       \
    NVRTC_API name(nvrtcProgram, void*) {                                        \
        fprintf(stderr, "stand-in: %s is not supported by the stand-in\n", #name); \
        return NVRTC_ERROR_INTERNAL_ERROR;                                       \
    }
STANDIN_NONE(nvrtcGetLTOIR)
STANDIN_NONE(nvrtcGetLTOIRSize)
STANDIN_NONE(nvrtcGetNVVM)
STANDIN_NONE(nvrtcGetNVVMSize)
STANDIN_NONE(nvrtcGetOptiXIR)
STANDIN_NONE(nvrtcGetOptiXIRSize)
