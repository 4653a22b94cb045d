#include "rewrite.h"

#include <ctype.h>
#include <stdlib.h>

#include <set>

namespace standin {
namespace {

struct Token {
    size_t begin, end;
    bool word;   // identifier or keyword
};

struct KernelName {
    std::string qualified, max_threads;
    std::vector<std::string> scopes;   // namespaces that the bounds may be named in
};

class Rewriter {
  public:
    explicit Rewriter(const std::string& text) : text_(text) {}

    Rewritten run(const std::vector<std::string>& names) {
        while (next()) {
            const Token token = tokens_.back();
            std::string word = token.word ? at(token) : std::string();
            if (word == "__shared__") {
                shared();
            } else if (word == "__global__") {
                kernel();
            } else if (word == "__launch_bounds__") {
                std::string threads = parenthesised();
                blank(token.begin, pos_);
                set_bounds(threads);
            } else if (at(token) == "{") {
                open();
            } else if (at(token) == "}") {
                if (!scopes_.empty()) scopes_.pop_back();
                statement_ = tokens_.size();
            } else if (at(token) == ";") {
                statement_ = tokens_.size();
            }
            if (!result_.error.empty()) return result_;
        }
        output_ += text_.substr(copied_);
        table(names);
        result_.source = std::move(output_);
        return result_;
    }

  private:
    std::string at(const Token& t) const { return text_.substr(t.begin, t.end - t.begin); }

    // Reads one token into tokens_; skips space, line markers, strings count as one.
    bool next() {
        for (;;) {
            if (pos_ >= text_.size()) return false;
            char c = text_[pos_];
            if (c == '\n') {
                ++line_, ++pos_;
                if (pos_ < text_.size() && text_[pos_] == '#') marker();
            } else if (isspace((unsigned char)c)) {
                ++pos_;
            } else if (c == '#' && pos_ == 0) {
                marker();
            } else {
                break;
            }
        }
        size_t begin = pos_;
        char c = text_[pos_];
        bool word = isalpha((unsigned char)c) || c == '_';
        if (word) {
            while (pos_ < text_.size() && (isalnum((unsigned char)text_[pos_]) || text_[pos_] == '_')) ++pos_;
            // R"x( ... )x" and prefixed strings.
            if (pos_ < text_.size() && text_[pos_] == '"' && text_[pos_ - 1] == 'R') {
                raw_string();
                word = false;
            }
        } else if (isdigit((unsigned char)c)) {
            while (pos_ < text_.size() && (isalnum((unsigned char)text_[pos_]) || text_[pos_] == '.' || text_[pos_] == '\''))
                ++pos_;
        } else if (c == '"' || c == '\'') {
            ++pos_;
            while (pos_ < text_.size() && text_[pos_] != c) pos_ += text_[pos_] == '\\' ? 2 : 1;
            ++pos_;
        } else {
            ++pos_;
        }
        tokens_.push_back(Token{begin, pos_, word});
        return true;
    }

    void raw_string() {
        size_t open = text_.find('(', pos_);
        std::string close = ")" + text_.substr(pos_ + 1, open - pos_ - 1) + "\"";
        size_t end = text_.find(close, open);
        size_t stop = end == std::string::npos ? text_.size() : end + close.size();
        for (; pos_ < stop; ++pos_) line_ += text_[pos_] == '\n';
    }

    // # LINE "FILE" FLAGS
    void marker() {
        size_t end = text_.find('\n', pos_);
        if (end == std::string::npos) end = text_.size();
        std::string line = text_.substr(pos_, end - pos_);
        size_t quote = line.find('"');
        if (line.size() > 2 && isdigit((unsigned char)line[2]) && quote != std::string::npos) {
            line_ = atoi(line.c_str() + 2) - 1;
            file_ = line.substr(quote + 1, line.rfind('"') - quote - 1);
        }
        pos_ = end;
    }

    void fail(const std::string& message) {
        result_.error = message;
        result_.error_file = file_;
        result_.error_line = line_;
    }

    // Copies the preceding text, and spaces for the rest; newlines are kept.
    void blank(size_t from, size_t to) {
        output_ += text_.substr(copied_, from - copied_);
        for (size_t i = from; i < to; ++i) output_ += text_[i] == '\n' ? '\n' : ' ';
        copied_ = to;
    }

    std::string parenthesised() {
        size_t begin = 0;
        int depth = 0;
        while (next()) {
            std::string t = at(tokens_.back());
            if (t == "(" && depth++ == 0) begin = pos_;
            if (t == ")" && --depth == 0) return text_.substr(begin, tokens_.back().begin - begin);
        }
        return "";
    }

    // The kind of scope that the brace just read opens.
    void open() {
        std::string name;
        bool is_namespace = false, is_linkage = false;
        for (size_t i = statement_; i + 1 < tokens_.size(); ++i) {
            std::string t = at(tokens_[i]);
            if (t == "namespace") {
                is_namespace = true;
            } else if (is_namespace && (t == "__attribute__" || t == "[")) {
                break;
            } else if (is_namespace && (tokens_[i].word || t == ":")) {
                if (t != "inline") name += t;
            } else if (t == "extern" && i + 2 < tokens_.size() && at(tokens_[i + 1]) == "\"C\"" &&
                       i + 3 == tokens_.size()) {
                is_linkage = true;
            }
        }
        scopes_.push_back(is_namespace ? name + "::" : is_linkage ? "" : "{");
        if (is_namespace && name.empty()) scopes_.back() = "";
        statement_ = tokens_.size();
    }

    bool in_namespace() const {
        for (const std::string& scope : scopes_)
            if (scope == "{") return false;
        return true;
    }

    bool is_template() const {
        for (size_t i = statement_; i < tokens_.size(); ++i)
            if (at(tokens_[i]) == "template") return true;
        return false;
    }

    // The kernel's name is the word before the first parenthesis that belongs
    // to no attribute.
    void kernel() {
        const Token token = tokens_.back();
        blank(token.begin, token.end);
        bool templated = is_template();
        std::string name, threads;
        while (next()) {
            std::string t = at(tokens_.back());
            if (t == "__launch_bounds__") {
                size_t begin = tokens_.back().begin;
                threads = parenthesised();
                blank(begin, pos_);
            } else if (t == "__attribute__" || t == "alignas") {
                parenthesised();
            } else if (tokens_.back().word) {
                name = t;
            } else if (t == "(") {
                break;
            } else if (t == "*" || t == "&") {
                fail("a kernel must return void");
                return;
            }
        }
        if (templated || !in_namespace() || name.empty()) return;
        std::string qualified = "::";
        for (const std::string& scope : scopes_) qualified += scope;
        qualified += name;
        if (threads.empty()) threads = bounds_;
        bounds_.clear();
        if (known_.insert(qualified).second) {
            kernels_.push_back(KernelName{qualified, first_argument(threads), scopes_});
        } else if (!threads.empty()) {
            for (KernelName& k : kernels_)
                if (k.qualified == qualified) k.max_threads = first_argument(threads);
        }
    }

    // __launch_bounds__ before __global__.
    void set_bounds(const std::string& threads) { bounds_ = threads; }

    static std::string first_argument(const std::string& list) {
        int depth = 0;
        for (size_t i = 0; i < list.size(); ++i) {
            if (list[i] == '(' || list[i] == '<') ++depth;
            if (list[i] == ')' || list[i] == '>') --depth;
            if (list[i] == ',' && depth == 0) return list.substr(0, i);
        }
        return list;
    }

    // `__shared__ T a[3], b;` becomes a struct with those members, one object
    // of which the block gets from the driver, and references to the members.
    void shared() {
        if (in_namespace()) {
            fail("the stand-in needs __shared__ variables inside a function");
            return;
        }
        size_t first = tokens_.size() - 1;
        // Words before it on the same declaration: extern, static, alignas(...).
        size_t begin_token = first;
        while (begin_token > statement_) --begin_token;
        bool dynamic = false;
        std::string declaration;
        auto take = [&](const Token& t) {
            std::string word = at(t);
            if (word == "extern") dynamic = true;
            if (word == "extern" || word == "static" || word == "__shared__" || word == "volatile") return;
            declaration += word + " ";
        };
        size_t begin = tokens_[begin_token].begin;
        for (size_t i = begin_token; i < tokens_.size(); ++i) take(tokens_[i]);
        std::vector<std::string> names;
        std::string last;
        int depth = 0;
        bool named = false, closed = false;
        while (next()) {
            const Token t = tokens_.back();
            std::string word = at(t);
            if (depth == 0 && !named && (word == "[" || word == "," || word == ";")) {
                names.push_back(last);
                named = true;
            }
            if (word == ";" && depth == 0) {
                closed = true;
                break;
            }
            if (word == "{" || word == "=") break;
            if (word == "[" && dynamic && pos_ < text_.size() && declaration.find('[') == std::string::npos) {
                take(t);
                size_t peek = pos_;
                while (peek < text_.size() && isspace((unsigned char)text_[peek])) ++peek;
                if (text_[peek] == ']') declaration += "1 ";
                ++depth;
                continue;
            }
            if (word == "(" || word == "[" || word == "<") ++depth;
            if (word == ")" || word == "]" || word == ">") --depth;
            if (word == "," && depth == 0) named = false;
            if (t.word) last = word;
            take(t);
        }
        if (!closed || names.empty() || names[0].empty()) {
            fail("a __shared__ variable can have no initializer");
            return;
        }
        std::string holder = "StandinShared" + std::to_string(++holders_);
        std::string out = "struct " + holder + " { " + declaration + "; };";
        if (dynamic) {
            for (const std::string& name : names)
                out += " auto " + name + " = ::standin::dynamic_shared<decltype(" + holder + "::" + name + ")>();";
        } else {
            out += " auto* standin_" + holder + " = ::standin::shared<" + holder + ">();";
            for (const std::string& name : names) out += " auto& " + name + " = standin_" + holder + "->" + name + ";";
        }
        output_ += text_.substr(copied_, begin - copied_) + out;
        for (size_t i = begin; i < pos_; ++i)
            if (text_[i] == '\n') output_ += '\n';
        copied_ = pos_;
        statement_ = tokens_.size();
    }

    void table(const std::vector<std::string>& names) {
        output_ += "\n# 1 \"kernel table of the stand-in\"\n";
        output_ += "extern \"C\" __attribute__((visibility(\"default\"))) const ::standin::Kernel* standin_kernels() {\n";
        output_ += "static const ::standin::Kernel table[] = {\n";
        auto row = [&](const std::string& name, const std::string& threads, const std::vector<std::string>& scopes) {
            std::string literal;
            for (char c : name) {
                if (c == '"' || c == '\\') literal += '\\';
                literal += c;
            }
            std::string bounds = "[] { ", prefix = "::";
            for (const std::string& scope : scopes) {
                if (scope.empty()) continue;
                prefix += scope;
                bounds += "using namespace " + prefix.substr(0, prefix.size() - 2) + "; ";
            }
            bounds += "return unsigned(" + (threads.empty() ? "0" : threads) + "); }()";
            output_ += "::standin::describe(" + name + ", \"" + literal + "\", " + bounds + "),\n";
        };
        for (const KernelName& k : kernels_) row(k.qualified, k.max_threads, k.scopes);
        for (const std::string& name : names)
            if (known_.count(name) == 0 && known_.count("::" + name) == 0) row(name, "", {});
        output_ += "{}};\nreturn table;\n}\n";
    }

    const std::string& text_;
    std::string output_, file_, bounds_;
    size_t pos_ = 0, copied_ = 0, statement_ = 0;
    int line_ = 1, holders_ = 0;
    std::vector<Token> tokens_;
    std::vector<std::string> scopes_;
    std::vector<KernelName> kernels_;
    std::set<std::string> known_;
    Rewritten result_;
};

}  // namespace

Rewritten rewrite(const std::string& preprocessed, const std::vector<std::string>& names) {
    return Rewriter(preprocessed).run(names);
}

}  // namespace standin
