#include "compile.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../image.h"
#include "rewrite.h"

extern char** environ;

namespace standin {
namespace {

bool read_file(const std::string& path, std::string* bytes) {
    FILE* file = fopen(path.c_str(), "rb");
    if (file == nullptr) return false;
    char chunk[65536];
    bytes->clear();
    while (size_t got = fread(chunk, 1, sizeof(chunk), file)) bytes->append(chunk, got);
    fclose(file);
    return true;
}

bool write_file(const std::string& path, const std::string& bytes) {
    for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
        mkdir(path.substr(0, slash).c_str(), 0777);
    FILE* file = fopen(path.c_str(), "wb");
    if (file == nullptr) return false;
    bool good = fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
    return fclose(file) == 0 && good;
}

// Runs a program; its standard error goes to a file.
int run(const std::vector<std::string>& arguments, const std::string& errors) {
    std::vector<char*> argv, env;
    for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    // A sanitizer that is preloaded for the program must not be for its compiler.
    for (char** e = environ; *e != nullptr; ++e)
        if (strncmp(*e, "LD_PRELOAD=", 11) != 0) env.push_back(*e);
    char locale[] = "LC_ALL=C";
    env.push_back(locale);
    env.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    pid_t child;
    int failed = posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), env.data());
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) {
        write_file(errors, arguments[0] + ": " + strerror(failed) + "\n");
        return 127;
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0) continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

// The parent of this library's folder.
std::string home() {
    Dl_info self;
    if (dladdr(reinterpret_cast<const void*>(&home), &self) == 0) return ".";
    std::string path = self.dli_fname;
    for (int i = 0; i < 2; ++i) path = path.substr(0, path.rfind('/'));
    return path;
}

uint64_t hash(const std::string& text, uint64_t seed) {
    uint64_t h = seed;
    for (char c : text) h = (h ^ (unsigned char)c) * 0x100000001b3ull;
    return h ^ h >> 32;
}

const char* environment(const char* name, const char* otherwise) {
    const char* value = getenv(name);
    return value == nullptr || *value == 0 ? otherwise : value;
}

std::vector<std::string> flags(const Options& options) {
    std::vector<std::string> f = {"-std=" + options.standard, "-O2", "-fPIC", "-w", "-fno-gnu-unique",
                                  "-fno-strict-aliasing", "-ftrivial-auto-var-init=pattern",
                                  // A kernel may have the name of a C library function.
                                  "-fno-semantic-interposition", "-Wl,-Bsymbolic",
                                  options.fmad ? "-ffp-contract=fast" : "-ffp-contract=off"};
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2")) {
        f.push_back("-mfma");
        f.push_back("-mavx2");
    }
#endif
#ifdef STANDIN_SANITIZE
    f.push_back("-fsanitize=" STANDIN_SANITIZE);
    f.push_back("-fno-sanitize-recover=all");
    f.push_back("-fno-omit-frame-pointer");
    f.push_back("-g1");
#endif
    return f;
}

// The parts of "file:line:column: error: text"; other lines are not messages.
bool parse_message(const std::string& line, std::string* file, std::string* number, std::string* text) {
    for (const char* kind : {": fatal error: ", ": error: "}) {
        size_t at = line.find(kind);
        if (at == std::string::npos) continue;
        *text = line.substr(at + strlen(kind));
        std::string where = line.substr(0, at);
        std::string parts[2];   // the numbers at the end: line, and column where given
        int count = 0;
        while (count < 2) {
            size_t colon = where.rfind(':');
            if (colon == std::string::npos || colon + 1 == where.size() ||
                where.find_first_not_of("0123456789", colon + 1) != std::string::npos)
                break;
            parts[count++] = where.substr(colon + 1);
            where.resize(colon);
        }
        if (count == 0) return false;
        *file = where;
        *number = parts[count - 1];
        return true;
    }
    return false;
}

// g++'s messages as NVRTC writes them: name(line): error: text
std::string nvrtc_style(const std::string& errors, const std::string& folder, const std::string& name) {
    std::string out, line, file, number, text;
    size_t count = 0;
    for (size_t at = 0; at < errors.size(); at += line.size() + 1) {
        line = errors.substr(at, errors.find('\n', at) - at);
        if (!parse_message(line, &file, &number, &text)) continue;
        if (file.compare(0, folder.size() + 1, folder + "/") == 0) file = file.substr(folder.size() + 1);
        if (file.compare(0, 8, "include/") == 0) file = file.substr(8);
        out += file + "(" + number + "): error: " + text + "\n\n";
        ++count;
    }
    if (count == 0) return errors;
    return out + std::to_string(count) + (count == 1 ? " error" : " errors") + " detected in the compilation of \"" +
           name + "\".\n";
}

}  // namespace

Compiled compile(const Source& source, const Options& options) {
    Compiled result;
    std::string compiler = environment("STANDIN_CXX", "g++");
    std::vector<std::string> common = flags(options);
    std::string all = build_key() + compiler;
    for (const auto& part : common) all += part + '\0';
    for (const auto& part : options.defines) all += part + '\0';
    for (const auto& part : options.include_paths) all += part + '\0';
    for (const auto& part : options.pre_includes) all += part + '\0';
    for (const auto& [name, text] : source.headers) all += name + '\0' + text + '\0';
    for (const auto& name : source.expressions) all += name + '\0';
    all += std::to_string(options.arch) + (options.real_arch ? "sm" : "compute") + '\0' + source.name + '\0' + source.text;
    char key[40];
    snprintf(key, sizeof(key), "%016llx%016llx", (unsigned long long)hash(all, 0xcbf29ce484222325ull),
             (unsigned long long)hash(all, 0x9e3779b97f4a7c15ull));
    std::string cache = environment("STANDIN_CACHE", (home() + "/cache").c_str());
    result.path = cache + "/" + key + ".so";
    // Headers found through an include path are not part of the key.
    if (options.include_paths.empty() && read_file(result.path, &result.library)) {
        result.good = true;
        return result;
    }

    std::string folder = cache + "/" + key + "-" + std::to_string(getpid());
    std::string input = folder + "/source.cu", expanded = folder + "/expanded.ii", rewritten = folder + "/rewritten.ii";
    std::string errors = folder + "/errors", built = folder + "/built.so";
    std::string name = source.name.empty() ? "default_program" : source.name;
    bool written = write_file(input, "#line 1 \"" + name + "\"\n" + source.text + "\n");
    for (const auto& [header, text] : source.headers)
        written = written && write_file(folder + "/include/" + header, text);
    auto finish = [&] {
        if (getenv("STANDIN_KEEP") == nullptr && run({"rm", "-rf", folder}, "/dev/null") != 0) result.log += "";
        return result;
    };
    auto failed = [&] {
        std::string text;
        read_file(errors, &text);
        result.log = nvrtc_style(text, folder, name);
        return finish();
    };
    if (!written) {
        result.log = "stand-in: cannot write to " + folder + "\n";
        return result;
    }

    std::vector<std::string> expand = {compiler, "-E", "-x", "c++"};
    expand.insert(expand.end(), common.begin(), common.end());
    for (const char* define : {"-DMSDCAM_STANDIN=1", "-D__CUDACC__=1", "-D__CUDACC_RTC__=1", "-D__NVCC__=1",
                               "-D__CUDACC_VER_MAJOR__=12", "-D__CUDACC_VER_MINOR__=8"})
        expand.push_back(define);
    expand.push_back("-D__CUDA_ARCH__=" + std::to_string(options.arch * 10));
    expand.insert(expand.end(), options.defines.begin(), options.defines.end());
    expand.insert(expand.end(), {"-include", home() + "/device/cuda.h"});
    for (const auto& header : options.pre_includes) expand.insert(expand.end(), {"-include", header});
    expand.push_back("-I" + folder + "/include");
    for (const auto& path : options.include_paths) expand.push_back("-I" + path);
    expand.insert(expand.end(), {input, "-o", expanded});
    if (run(expand, errors) != 0) return failed();

    std::string text;
    read_file(expanded, &text);
    Rewritten r = rewrite(text, source.expressions);
    if (!r.error.empty()) {
        result.log = r.error_file + "(" + std::to_string(r.error_line) + "): error: " + r.error +
                     "\n\n1 error detected in the compilation of \"" + name + "\".\n";
        return finish();
    }
    // The image names the build that made it and the architecture, so that
    // another build and a wrong architecture are refused.
    const std::string exported = "extern \"C\" __attribute__((visibility(\"default\"), used)) const ";
    r.source += exported + "char standin_build[] = \"standin-key:" + build_key() + "\";\n";
    r.source += exported + "int standin_arch[] = {" + std::to_string(options.arch) + ", " +
                std::to_string(options.real_arch) + "};\n";
    write_file(rewritten, r.source);
    std::vector<std::string> build = {compiler, "-x", "c++-cpp-output", "-fpreprocessed", "-shared"};
    build.insert(build.end(), common.begin(), common.end());
    build.insert(build.end(), {"-fdiagnostics-plain-output", "-fno-diagnostics-show-caret", rewritten, "-o", built});
    if (run(build, errors) != 0) return failed();
    if (rename(built.c_str(), result.path.c_str()) != 0 || !read_file(result.path, &result.library)) {
        result.log = "stand-in: cannot write " + result.path + "\n";
        return finish();
    }
    result.good = true;
    return finish();
}

}  // namespace standin
