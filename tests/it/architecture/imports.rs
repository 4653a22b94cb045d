//! References between the source files, read from their tokens: `use` trees and paths that begin with
//! `crate`, `super`, `self` or a child module.
//!
//! Test modules are left out: a test may reach further than what it tests.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A module: the names from the root of the crate to it.
pub type Module = Vec<String>;

/// A reference in a source file.
#[derive(Debug, Clone)]
pub struct Reference {
    /// Names from the root of the crate.
    path: Vec<String>,
    line: usize,
    /// Of a `pub use`, which does not need what it names.
    reexport: bool,
    /// The name it gets in this file, where it is part of a `use`.
    name: Option<String>,
}

/// A file that needs another one, and where it says so.
#[derive(Debug)]
pub struct Dependency {
    pub from: Module,
    pub to: Module,
    /// `src/explain/score.rs:12`.
    pub place: String,
}

/// The source files of the library by module.
pub struct Crate {
    files: BTreeMap<Module, (String, Vec<Reference>)>,
}

impl Crate {
    /// Reads every file of `src`, which is in `root`.
    pub fn read(root: &Path) -> Crate {
        let mut found = Vec::new();
        list(&root.join("src"), &mut found);
        let mut files = BTreeMap::new();
        for path in found {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            if name == "src/main.rs" {
                continue; // the program is a crate of its own
            }
            let module = module_of(&name);
            let text = std::fs::read_to_string(&path).unwrap();
            let tokens = TokenStream::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            let mut scan = Scan { module: module.clone(), children: Vec::new(), found: Vec::new() };
            scan.children(tokens.clone());
            scan.tokens(tokens);
            files.insert(module, (name, scan.found));
        }
        Crate { files }
    }

    /// What each file needs of others, re-exports left out.
    pub fn dependencies(&self) -> Vec<Dependency> {
        let mut all = Vec::new();
        for (from, (name, references)) in &self.files {
            for reference in references.iter().filter(|reference| !reference.reexport) {
                let to = self.resolve(&reference.path, 0);
                if to != *from {
                    all.push(Dependency {
                        from: from.clone(),
                        to,
                        place: format!("{name}:{}", reference.line),
                    });
                }
            }
        }
        all
    }

    /// The module whose file defines what `path` names; names that a `use` brought into a module are
    /// followed to where they come from.
    fn resolve(&self, path: &[String], depth: usize) -> Module {
        let known = (0..=path.len()).rev().find(|&n| self.files.contains_key(&path[..n])).unwrap_or(0);
        let module = path[..known].to_vec();
        let Some(name) = path.get(known) else { return module };
        let brought = self.files.get(&module).and_then(|(_, references)| {
            references.iter().find(|reference| reference.name.as_ref() == Some(name))
        });
        match brought {
            Some(reference) if depth < 8 => {
                let rest = reference.path.iter().chain(&path[known + 1..]).cloned().collect::<Vec<_>>();
                if rest == path { module } else { self.resolve(&rest, depth + 1) }
            }
            _ => module,
        }
    }
}

fn list(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
}

/// `src/a/b.rs` and `src/a/b/mod.rs` are both `a::b`.
fn module_of(name: &str) -> Module {
    let path = name.trim_start_matches("src/").trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" { Vec::new() } else { path.split('/').map(String::from).collect() }
}

struct Scan {
    module: Module,
    /// Modules declared in this file.
    children: Vec<String>,
    found: Vec<Reference>,
}

impl Scan {
    fn children(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for pair in tokens.windows(3) {
            if is_word(&pair[0], "mod") && matches!(&pair[2], TokenTree::Punct(p) if p.as_char() == ';') {
                self.children.push(pair[1].to_string());
            }
        }
    }

    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        // Whether the next item is a `use`, a `pub use`, or under `#[cfg(test)]`.
        let (mut in_use, mut reexport, mut test) = (false, false, false);
        let mut i = 0;
        while i < tokens.len() {
            match &tokens[i] {
                TokenTree::Group(group) => {
                    let text = group.to_string().replace(' ', "");
                    if group.delimiter() == Delimiter::Bracket && text == "[cfg(test)]" {
                        test = true;
                    } else if test && group.delimiter() == Delimiter::Brace {
                        test = false; // the body of a test module or function
                    } else if i > 0 && is_word(&tokens[i - 1], "pub") {
                        // pub(crate), pub(in some::module)
                    } else {
                        self.tokens(group.stream());
                    }
                }
                TokenTree::Punct(punct) if punct.as_char() == ';' => {
                    (in_use, reexport, test) = (false, false, false);
                }
                word @ TokenTree::Ident(ident) => {
                    if is_word(word, "use") {
                        in_use = true;
                        // `pub use`, or `pub(crate) use` and the like.
                        let before = tokens[..i].iter().rev().find(|t| !matches!(t, TokenTree::Group(_)));
                        reexport = before.is_some_and(|token| is_word(token, "pub"));
                    } else if !test && !follows_path(&tokens, i) {
                        let name = ident.to_string();
                        let child = self.children.contains(&name) && is_separator(&tokens, i + 1);
                        if child || matches!(&*name, "crate" | "super" | "self") {
                            let line = ident.span().start().line;
                            i = self.path(Vec::new(), &tokens, i, (in_use, reexport, line));
                            continue;
                        }
                    }
                }
                _ => {}
            }
            i += 1;
        }
    }

    /// Reads the path, or the tree of paths, that begins at token `i` below `path`; gives the token after it.
    fn path(
        &mut self,
        mut path: Vec<String>,
        tokens: &[TokenTree],
        mut i: usize,
        how: (bool, bool, usize),
    ) -> usize {
        let (in_use, reexport, line) = how;
        let first = i;
        loop {
            match tokens.get(i) {
                Some(TokenTree::Ident(ident)) => {
                    let name = ident.to_string();
                    match &*name {
                        "crate" => path.clear(),
                        "self" if i == first && path.is_empty() => path = self.module.clone(),
                        "self" => {}
                        "super" if path.is_empty() => {
                            path = self.module[..self.module.len() - 1].to_vec();
                        }
                        "super" => drop(path.pop()),
                        _ if i == first && path.is_empty() => {
                            path = self.module.clone();
                            path.push(name);
                        }
                        _ => path.push(name),
                    }
                    i += 1;
                }
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace && in_use => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    for part in inner.split(|t| matches!(t, TokenTree::Punct(p) if p.as_char() == ',')) {
                        if let Some(token) = part.first() {
                            let line = token.span().start().line;
                            self.path(path.clone(), part, 0, (in_use, reexport, line));
                        }
                    }
                    return i + 1;
                }
                _ => break,
            }
            if !is_separator(tokens, i) {
                break;
            }
            i += 2;
        }
        let alias = tokens.get(i).is_some_and(|token| is_word(token, "as"));
        let name =
            if alias { tokens.get(i + 1).map(|token| token.to_string()) } else { path.last().cloned() };
        // `self.field` and `self` alone are no paths.
        if path != self.module || in_use {
            self.found.push(Reference { path, line, reexport, name: name.filter(|_| in_use) });
        }
        i
    }
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

/// Whether `::` is at token `i`.
fn is_separator(tokens: &[TokenTree], i: usize) -> bool {
    let colon = |i: usize| matches!(tokens.get(i), Some(TokenTree::Punct(p)) if p.as_char() == ':');
    colon(i) && colon(i + 1)
}

/// Whether token `i` comes after `::` or `.`.
fn follows_path(tokens: &[TokenTree], i: usize) -> bool {
    let dot = |i: usize| matches!(tokens.get(i), Some(TokenTree::Punct(p)) if p.as_char() == '.');
    i >= 2 && is_separator(tokens, i - 2) || i >= 1 && dot(i - 1)
}

/// Groups of modules that need each other, directly or through others: each sorted, none of one module.
pub fn circles(dependencies: &[(Module, Module)]) -> Vec<Vec<Module>> {
    let mut next: HashMap<&Module, Vec<&Module>> = HashMap::new();
    for (from, to) in dependencies {
        next.entry(from).or_default().push(to);
    }
    let reached = |from: &Module| {
        let mut seen: Vec<&Module> = Vec::new();
        let mut todo: Vec<&Module> = next.get(from).cloned().unwrap_or_default();
        while let Some(module) = todo.pop() {
            if !seen.contains(&module) {
                seen.push(module);
                todo.extend(next.get(module).into_iter().flatten());
            }
        }
        seen.into_iter().cloned().collect::<Vec<Module>>()
    };
    let reach: BTreeMap<&Module, Vec<Module>> =
        next.keys().map(|&module| (module, reached(module))).collect();
    let mut circles: Vec<Vec<Module>> = Vec::new();
    for (module, all) in &reach {
        let mut circle: Vec<Module> = all
            .iter()
            .filter(|other| reach.get(other).is_some_and(|back| back.contains(module)))
            .cloned()
            .collect();
        circle.sort();
        if circle.len() > 1 && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}
