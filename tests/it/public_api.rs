//! The public items of the library against the stored list: what is added to the interface, or
//! disappears from it, is seen in review. `MSDCAM_BLESS=1 cargo test --test it public_api` rewrites
//! the list.
//!
//! The sources are parsed and followed from `src/lib.rs` through `pub mod` and `pub use`. Signatures
//! and implementations of foreign traits are not part of the list; the engine and hidden items neither.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use syn::{Fields, ImplItem, Item, ItemImpl, TraitItem, UseTree, Visibility};

use crate::common::golden::repository;

const SNAPSHOT: &str = "tests/golden/public_api.txt";
/// Public for the tests, tools and programs of this repository, without a promise.
const WITHOUT_PROMISE: [&str; 1] = ["engine"];

/// Kinds that count as items; fields, variants, methods and constants belong to one.
const ITEM_KINDS: [&str; 5] = ["struct ", "enum ", "trait ", "fn ", "type "];
/// The interface is meant to stay small: raise this only with a reason.
const MAX_ITEMS: usize = 100;

type Names = Vec<String>;

/// The parsed modules of the library.
struct Modules(BTreeMap<Names, Vec<Item>>);

impl Modules {
    fn read(&mut self, module: Names, file: PathBuf) {
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let items = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display())).items;
        self.add(module, items);
    }

    fn add(&mut self, module: Names, mut items: Vec<Item>) {
        for item in &mut items {
            let Item::Mod(child) = item else { continue };
            let path = [&module[..], &[child.ident.to_string()]].concat();
            if has(&child.attrs, "cfg", "test") {
                continue;
            }
            if let Some((_, items)) = child.content.take() {
                self.add(path, items);
                continue;
            }
            let place = repository("src").join(path.join("/"));
            let file = place.with_extension("rs");
            self.read(path, if file.exists() { file } else { place.join("mod.rs") });
        }
        self.0.insert(module, items);
    }

    /// Adds the public items of `module` to `list`, under `shown`.
    fn list(&self, module: &[String], shown: &str, list: &mut BTreeSet<String>) {
        for item in &self.0[module] {
            match item {
                item if is_hidden(item) => {}
                Item::Use(item) if is_public(&item.vis) => {
                    self.reexported(module, &item.tree, Names::new(), shown, list);
                }
                Item::Mod(child) if is_public(&child.vis) => {
                    let name = child.ident.to_string();
                    let path = [module, std::slice::from_ref(&name)].concat();
                    if self.0.contains_key(&path) && !WITHOUT_PROMISE.contains(&path.join("::").as_str()) {
                        list.insert(format!("mod {shown}::{name}"));
                        self.list(&path, &format!("{shown}::{name}"), list);
                    }
                }
                item => {
                    if let Some((vis, name)) = named(item)
                        && is_public(vis)
                    {
                        self.item(item, &format!("{shown}::{name}"), list);
                    }
                }
            }
        }
    }

    fn reexported(
        &self,
        module: &[String],
        tree: &UseTree,
        mut path: Names,
        shown: &str,
        list: &mut BTreeSet<String>,
    ) {
        match tree {
            UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                self.reexported(module, &tree.tree, path, shown, list);
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.reexported(module, tree, path.clone(), shown, list));
            }
            UseTree::Name(name) => {
                path.push(name.ident.to_string());
                self.target(module, &path, &format!("{shown}::{}", name.ident), list);
            }
            UseTree::Rename(tree) => {
                path.push(tree.ident.to_string());
                self.target(module, &path, &format!("{shown}::{}", tree.rename), list);
            }
            UseTree::Glob(_) => panic!("pub use {}::*: name what is re-exported", path.join("::")),
        }
    }

    /// Adds what `path`, as written in `module`, names, under the name `shown`.
    fn target(&self, module: &[String], path: &[String], shown: &str, list: &mut BTreeSet<String>) {
        let full = absolute(module, path);
        if self.0.contains_key(&full) {
            list.insert(format!("mod {shown}"));
            return self.list(&full, shown, list);
        }
        let (name, home) = full.split_last().unwrap();
        let Some(items) = self.0.get(home) else {
            list.insert(format!("use {shown} = {}", path.join("::")));
            return;
        };
        if let Some(item) = items.iter().find(|item| named(item).is_some_and(|(_, own)| own == *name)) {
            return self.item(item, shown, list);
        }
        for item in items {
            let Item::Use(item) = item else { continue };
            if let Some(next) = brought(&item.tree, name, Names::new()) {
                return self.target(home, &next, shown, list);
            }
        }
        panic!("{shown}: nothing is called {}", full.join("::"));
    }

    /// Adds an item with its public fields, variants and methods.
    fn item(&self, item: &Item, shown: &str, list: &mut BTreeSet<String>) {
        let fields = |fields: &Fields, list: &mut BTreeSet<String>| {
            for (i, field) in fields.iter().enumerate().filter(|(_, field)| is_public(&field.vis)) {
                let name = field.ident.as_ref().map_or(i.to_string(), ToString::to_string);
                list.insert(format!("field {shown}::{name}"));
            }
        };
        let (kind, own) = match item {
            Item::Fn(item) => ("fn", &item.sig.ident),
            Item::Const(item) => ("const", &item.ident),
            Item::Static(item) => ("static", &item.ident),
            Item::Type(item) => ("type", &item.ident),
            Item::Struct(item) => {
                fields(&item.fields, list);
                ("struct", &item.ident)
            }
            Item::Enum(item) => {
                for variant in &item.variants {
                    list.insert(format!("variant {shown}::{}", variant.ident));
                }
                ("enum", &item.ident)
            }
            Item::Trait(item) => {
                for part in &item.items {
                    if let TraitItem::Fn(method) = part {
                        list.insert(format!("method {shown}::{}", method.sig.ident));
                    }
                }
                ("trait", &item.ident)
            }
            _ => return,
        };
        list.insert(format!("{kind} {shown}"));
        if !matches!(item, Item::Struct(_) | Item::Enum(_)) {
            return;
        }
        let part = |item: &ItemImpl| item.trait_.is_none() && names_type(&item.self_ty, &own.to_string());
        let everywhere = self.0.values().flatten();
        for block in everywhere.filter_map(|item| match item {
            Item::Impl(block) if part(block) => Some(block),
            _ => None,
        }) {
            for item in &block.items {
                match item {
                    ImplItem::Fn(method) if is_public(&method.vis) => {
                        list.insert(format!("method {shown}::{}", method.sig.ident));
                    }
                    ImplItem::Const(item) if is_public(&item.vis) => {
                        list.insert(format!("const {shown}::{}", item.ident));
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Replaces items of the root that a part lists too by a line that only names them.
fn only_named_at_the_root(list: &mut BTreeSet<String>) {
    let paths: BTreeSet<String> =
        list.iter().filter_map(|line| line.split_once(' ')).map(|(_, path)| path.to_string()).collect();
    let in_a_part = |name: &str| {
        paths.iter().any(|path| path.matches("::").count() == 2 && path.ends_with(&format!("::{name}")))
    };
    let (again, rest): (Vec<String>, Vec<String>) = std::mem::take(list).into_iter().partition(|line| {
        let (kind, path) = line.split_once(' ').expect("a kind and a path");
        let name = path.split("::").nth(1).unwrap_or_default();
        kind != "mod" && name.starts_with(char::is_uppercase) && in_a_part(name)
    });
    list.extend(rest);
    list.extend(again.iter().filter_map(|line| {
        let path = line.split_once(' ')?.1;
        Some(format!("use {}", path.split("::").take(2).collect::<Vec<_>>().join("::")))
    }));
}

/// Whether an item is left out of the documentation.
fn is_hidden(item: &Item) -> bool {
    let attributes = match item {
        Item::Use(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Const(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        _ => return false,
    };
    has(attributes, "doc", "hidden")
}

/// Visibility and name of an item that has both.
fn named(item: &Item) -> Option<(&Visibility, String)> {
    Some(match item {
        Item::Fn(item) => (&item.vis, item.sig.ident.to_string()),
        Item::Const(item) => (&item.vis, item.ident.to_string()),
        Item::Static(item) => (&item.vis, item.ident.to_string()),
        Item::Type(item) => (&item.vis, item.ident.to_string()),
        Item::Struct(item) => (&item.vis, item.ident.to_string()),
        Item::Enum(item) => (&item.vis, item.ident.to_string()),
        Item::Trait(item) => (&item.vis, item.ident.to_string()),
        _ => return None,
    })
}

fn is_public(vis: &Visibility) -> bool {
    matches!(vis, Visibility::Public(_))
}

/// Whether one of the attributes is `name(word)`.
fn has(attributes: &[syn::Attribute], name: &str, word: &str) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident(name) && list.tokens.to_string() == word,
        _ => false,
    })
}

/// Whether the type is `name`, with or without parameters.
fn names_type(ty: &syn::Type, name: &str) -> bool {
    matches!(ty, syn::Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == name))
}

/// `path`, as written in `module`, from the root of the crate.
fn absolute(module: &[String], path: &[String]) -> Names {
    let mut full = module.to_vec();
    for name in path {
        match &**name {
            "crate" => full.clear(),
            "super" => drop(full.pop()),
            "self" => {}
            _ => full.push(name.clone()),
        }
    }
    full
}

/// The path through which `tree` brings `name`, if it does.
fn brought(tree: &UseTree, name: &str, mut path: Names) -> Option<Names> {
    match tree {
        UseTree::Path(tree) => {
            path.push(tree.ident.to_string());
            brought(&tree.tree, name, path)
        }
        UseTree::Group(group) => group.items.iter().find_map(|tree| brought(tree, name, path.clone())),
        UseTree::Name(tree) if tree.ident == name => {
            path.push(name.into());
            Some(path)
        }
        UseTree::Rename(tree) if tree.rename == name => {
            path.push(tree.ident.to_string());
            Some(path)
        }
        _ => None,
    }
}

#[test]
fn the_public_items_are_those_of_the_stored_list() {
    let mut modules = Modules(BTreeMap::new());
    modules.read(Names::new(), repository("src/lib.rs"));
    let mut list = BTreeSet::new();
    modules.list(&[], "msdcam", &mut list);
    only_named_at_the_root(&mut list);
    let items = list.iter().filter(|line| ITEM_KINDS.iter().any(|kind| line.starts_with(kind))).count();
    assert!(items <= MAX_ITEMS, "{items} public items, more than a reader can hold in mind ({MAX_ITEMS})");
    // By path, not by kind.
    let mut lines: Vec<&str> = list.iter().map(String::as_str).collect();
    lines.sort_by_key(|line| line.split_once(' ').map(|(kind, path)| (path, kind)));

    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for path in lines.iter().filter_map(|line| line.split_once(' ')).map(|(_, path)| path) {
        let mut names = path.split("::").skip(1);
        let part = names.next().filter(|part| modules.0.contains_key(&vec![part.to_string()]));
        *counts.entry(part.unwrap_or("(root)")).or_default() += 1;
    }
    println!("public items: {counts:?}, {} in all", lines.len());

    let text = lines.join("\n") + "\n";
    let file = repository(SNAPSHOT);
    if std::env::var_os("MSDCAM_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(file, text).unwrap();
        return;
    }
    let stored = std::fs::read_to_string(&file).unwrap_or_default();
    let [stored, now] = [&stored, &text].map(|text| text.lines().collect::<BTreeSet<_>>());
    let added: Vec<_> = now.difference(&stored).map(|line| format!("+ {line}")).collect();
    let gone: Vec<_> = stored.difference(&now).map(|line| format!("- {line}")).collect();
    let all = [gone, added].concat().join("\n");
    assert!(all.is_empty(), "the public items differ from {SNAPSHOT} (MSDCAM_BLESS=1 rewrites it):\n{all}");
}
