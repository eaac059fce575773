//! Finds which file of a crate uses which other one, from the names that it imports or writes.

use std::collections::{BTreeMap, BTreeSet};

use crate::module::{Import, Module};
use crate::tokens::shipped;
use crate::tree::Tree;

/// The files of one crate and the arrows between them, without code that is compiled for tests only.
#[derive(Debug)]
pub(crate) struct CrateFiles {
    /// The path of its root, such as `lease/core/src/lib.rs`.
    pub(crate) root: String,
    /// The paths of its files, the root first.
    pub(crate) files: Vec<String>,
    /// The arrows by user and used file, with the line of the first use and the name used there.
    pub(crate) arrows: BTreeMap<(usize, usize), (usize, String)>,
}

/// The crates of a tree, without those in folders of tests.
pub(crate) fn crates(tree: &Tree) -> Vec<CrateFiles> {
    let is_root = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        matches!(name, "lib.rs" | "main.rs") || path.contains("/src/bin/")
    };
    tree.rust().filter(|file| is_root(&file.path) && !file.is_test()).map(|file| read(tree, &file.path)).collect()
}

/// A module, with the file that it stands in and its parent.
struct PlacedModule {
    file: usize,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    module: Module,
}

/// What a path resolves to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// An item of this module, or a name that this module makes in a way that this reader cannot see.
    Item(usize),
    /// The module itself.
    Module(usize),
    /// Nothing of this crate.
    Elsewhere,
}

/// How many re-exports are followed in a row.
const DEEPEST: usize = 16;

fn read(tree: &Tree, root: &str) -> CrateFiles {
    let folder = root.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let mut reader = Reader { tree, files: vec![root.to_owned()], places: Vec::new() };
    let text = tree.text(root).unwrap_or_default();
    reader.place(Module::read(&shipped(text)), 0, None, &folder);
    let Reader { files, places, .. } = reader;
    let mut arrows = BTreeMap::new();
    for (index, place) in places.iter().enumerate() {
        for (line, name, target) in uses(&places, index) {
            let to = places[target].file;
            if to != place.file {
                let first = arrows.entry((place.file, to)).or_insert((line, name.clone()));
                if line < first.0 {
                    *first = (line, name);
                }
            }
        }
    }
    CrateFiles { root: root.to_owned(), files, arrows }
}

/// Finds the files of the modules.
struct Reader<'a> {
    tree: &'a Tree,
    files: Vec<String>,
    places: Vec<PlacedModule>,
}

impl Reader<'_> {
    /// Adds a module and all modules below it to the places; the files of its children lie in `folder`.
    fn place(&mut self, mut module: Module, file: usize, parent: Option<usize>, folder: &str) -> usize {
        let index = self.places.len();
        let (declared, inline) = (module.declared.clone(), std::mem::take(&mut module.inline));
        self.places.push(PlacedModule { file, parent, children: BTreeMap::new(), module });
        for name in declared {
            let path = format!("{folder}{name}.rs");
            let Some(text) = self.tree.text(&path) else { continue };
            self.files.push(path);
            let file = self.files.len() - 1;
            let child = self.place(Module::read(&shipped(text)), file, Some(index), &format!("{folder}{name}/"));
            self.places[index].children.insert(name, child);
        }
        for (name, inner) in inline {
            let child = self.place(inner, file, Some(index), &format!("{folder}{name}/"));
            self.places[index].children.insert(name, child);
        }
        index
    }
}

/// The names that a module uses of others: the line, the name, and the module that defines it.
fn uses(places: &[PlacedModule], index: usize) -> Vec<(usize, String, usize)> {
    let module = &places[index].module;
    let mut uses = Vec::new();
    let mut note = |line: usize, name: String, target: Target| {
        if let Target::Item(at) = target {
            uses.push((line, name, at));
        }
    };
    for import in &module.imports {
        let target = resolve(places, index, &import.path, DEEPEST);
        let name = import.path.join("::");
        match (import.name.as_str(), target) {
            // A glob import of a module uses that module.
            ("*", Target::Module(at)) if !import.is_reexport => {
                note(import.line, format!("{name}::*"), Target::Item(at))
            }
            // A re-export of a name does not use it; writing the name does.
            (own, target) if import.is_reexport => {
                if let Some(line) = module.words.get(own).or_else(|| first_path(module, own)) {
                    note(*line, name, target);
                }
            }
            (_, target) => note(import.line, name, target),
        }
    }
    for (path, line) in &module.paths {
        note(*line, path.join("::"), resolve(places, index, path, DEEPEST));
    }
    for (name, line) in &module.called {
        let definer = places.iter().position(|place| place.module.macros.contains(name));
        if let Some(definer) = definer.filter(|_| !module.imports.iter().any(|import| import.name == *name)) {
            note(*line, format!("{name}!"), Target::Item(definer));
        }
    }
    uses
}

/// The first line on which a path begins with this name.
fn first_path<'a>(module: &'a Module, name: &str) -> Option<&'a usize> {
    module.paths.iter().find(|(path, _)| path[0] == name).map(|(_, line)| line)
}

/// Resolves a path that is written in the module `from`.
fn resolve(places: &[PlacedModule], from: usize, path: &[String], depth: usize) -> Target {
    let Some((first, mut rest)) = path.split_first() else { return Target::Module(from) };
    let Some(depth) = depth.checked_sub(1) else { return Target::Elsewhere };
    let mut at = match first.as_str() {
        "crate" => 0,
        "self" => from,
        "super" => places[from].parent.unwrap_or(0),
        "" => return Target::Elsewhere,
        name => match look_up(places, from, name, depth, &mut BTreeSet::new()) {
            Some(Target::Module(at)) => at,
            Some(target) => return target,
            None => return Target::Elsewhere,
        },
    };
    while let Some((name, behind)) = rest.split_first() {
        rest = behind;
        if name == "super" {
            at = places[at].parent.unwrap_or(0);
            continue;
        }
        match look_up(places, at, name, depth, &mut BTreeSet::new()) {
            Some(Target::Module(inner)) => at = inner,
            Some(target) => return target,
            None => return Target::Item(at),
        }
    }
    Target::Module(at)
}

/// Resolves a name in a module; `None` where this reader sees no such name.
fn look_up(places: &[PlacedModule], at: usize, name: &str, depth: usize, seen: &mut BTreeSet<usize>) -> Option<Target> {
    if !seen.insert(at) {
        return None;
    }
    let place = &places[at];
    if let Some(child) = place.children.get(name) {
        return Some(Target::Module(*child));
    }
    if place.module.defined.contains(name) {
        return Some(Target::Item(at));
    }
    // In `use a::a` the import brings the inner `a`, so a name is not looked up in its own import.
    let brings = |import: &&Import| import.name == name && import.path.first().is_none_or(|first| first != name);
    if let Some(import) = place.module.imports.iter().find(brings) {
        return Some(resolve(places, at, &import.path, depth));
    }
    place.module.imports.iter().filter(|import| import.name == "*").find_map(|import| {
        match resolve(places, at, &import.path, depth) {
            Target::Module(inner) => look_up(places, inner, name, depth, seen),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The arrows between these files, as `from -> to` without folder and ending.
    fn arrows(files: &[(&str, &str)]) -> Vec<String> {
        let crates = crates(&Tree::of(files));
        let short =
            |index: usize| crates[0].files[index].trim_start_matches("a/src/").trim_end_matches(".rs").to_owned();
        crates[0].arrows.keys().map(|(from, to)| format!("{} -> {}", short(*from), short(*to))).collect()
    }

    /// Through the root's re-export an arrow leads to the file that defines the name, and the root uses nothing by it.
    #[test]
    fn a_reexport_leads_to_the_definer() {
        let root = "mod b;\nmod c;\npub use b::B;\npub use c::*;";
        let files =
            [("a/src/lib.rs", root), ("a/src/b.rs", "pub struct B;\nuse crate::C;"), ("a/src/c.rs", "pub struct C;")];
        assert_eq!(arrows(&files), ["b -> c"]);
        let root = "mod b;\nmod c;\npub use b::B;\npub use c::*;\npub fn f() -> B { B }";
        let files = [("a/src/lib.rs", root), ("a/src/b.rs", "pub struct B;"), ("a/src/c.rs", "")];
        assert_eq!(arrows(&files), ["lib -> b"]);
    }

    /// Inline paths, `super`, aliases of modules, inline modules and macros make arrows; other crates do not.
    #[test]
    fn every_way_to_name_is_seen() {
        let of = |b: &str| {
            arrows(&[
                ("a/src/lib.rs", "macro_rules! m { () => {} }\nmod b;\nmod c;\npub struct R;\nmod i { pub struct I; }"),
                ("a/src/b.rs", b),
                ("a/src/b/d.rs", "pub struct D;"),
                ("a/src/c.rs", "pub fn f() {}\n#[cfg(test)]\nmod tests { use crate::b::x; }"),
            ])
        };
        assert_eq!(of("fn g() { crate::c::f(); }"), ["b -> c"]);
        assert_eq!(of("use super::c;\nfn g() { c::f(); }"), ["b -> c"]);
        assert_eq!(of("use crate::c as e;"), [""; 0]);
        assert_eq!(of("fn g() { super::R; }"), ["b -> lib"]);
        assert_eq!(of("use crate::i::I;"), ["b -> lib"]);
        assert_eq!(of("fn g() { m!(); }"), ["b -> lib"]);
        assert_eq!(of("mod d;\nfn g() -> d::D {}"), ["b -> b/d"]);
        assert_eq!(of("mod d;\nuse std::c;\nuse tokio::c::f;"), [""; 0]);
    }
}
