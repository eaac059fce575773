//! `cargo xtask map`: the crates with their lines and arrows, the circles, and how far sizes and words are from their targets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::circles::circles;
use crate::crate_files::{CrateFiles, crates};
use crate::tidy::old_words;
use crate::tokens::shipped_line_count;
use crate::tree::Tree;

/// Folders whose size was set as a target, with that size.
const TARGETS: &[(&str, usize)] =
    &[("apps/tenure/src/run/", 2_200), ("stores/redis/src/", 1_700), ("stores/sqlite/src/", 800)];

/// The map of a tree, in Markdown.
pub(crate) fn render(tree: &Tree) -> String {
    let files = crates(tree);
    let mut map = String::new();
    map.push_str(&crate_table(tree, &files));
    map.push_str(&crate_circles(tree));
    map.push_str(&file_circles(&files));
    map.push_str(&targets(tree));
    map
}

/// The arrows between the files of the crates below a folder, those that lie in circles marked.
pub(crate) fn render_files(tree: &Tree, folder: &str) -> String {
    let mut told = String::new();
    for files in crates(tree).iter().filter(|files| is_shipped_by(folder.trim_end_matches('/'), &files.root)) {
        let circles = circles(files.arrows.keys().copied());
        for ((from, to), (line, name)) in &files.arrows {
            let both = |members: &BTreeSet<usize>| members.contains(from) && members.contains(to);
            let mark = if circles.iter().any(|circle| both(&circle.members)) { "circle" } else { "" };
            let _ = writeln!(told, "{mark:<6} {}:{line} -> {}  {name}", files.files[*from], files.files[*to]);
        }
    }
    told
}

/// The packages by folder: their lines, files, and arrows to packages of ours.
fn crate_table(tree: &Tree, files: &[CrateFiles]) -> String {
    let folders = folders(tree);
    let mut table =
        "| Crate | Lines | Files | Circles of files | Depends on | For tests also |\n|---|--:|--:|--:|---|---|\n"
            .to_owned();
    let mut rows: Vec<(&str, String)> = Vec::new();
    let (mut all_lines, mut all_files, mut all_circles) = (0, 0, 0);
    for package in &tree.packages {
        let folder = package["folder"].as_str().unwrap_or_default();
        let own: Vec<_> = tree.rust().filter(|file| is_shipped_by(folder, &file.path) && !file.is_test()).collect();
        let lines: usize = own.iter().map(|file| shipped_line_count(&file.text)).sum();
        let arrows = |is_dev: bool| -> Vec<&str> {
            let dependencies = package["dependencies"].as_array().into_iter().flatten();
            let mut targets: Vec<&str> = dependencies
                .filter(|dependency| (dependency["kind"] == "dev") == is_dev)
                .filter_map(|dependency| folders.get(dependency["name"].as_str()?).copied())
                .filter(|target| *target != folder)
                .collect();
            targets.sort_unstable();
            targets.dedup();
            targets
        };
        let needed = arrows(false);
        let for_tests: Vec<&str> = arrows(true).into_iter().filter(|target| !needed.contains(target)).collect();
        let crate_files = files.iter().filter(|files| is_shipped_by(folder, &files.root));
        let circles: usize = crate_files.map(|files| circles(files.arrows.keys().copied()).len()).sum();
        (all_lines, all_files, all_circles) = (all_lines + lines, all_files + own.len(), all_circles + circles);
        let (count, needed, for_tests) = (own.len(), needed.join(", "), for_tests.join(", "));
        rows.push((folder, format!("| `{folder}` | {lines} | {count} | {circles} | {needed} | {for_tests} |\n")));
    }
    rows.sort();
    table.extend(rows.into_iter().map(|(_, row)| row));
    let _ = writeln!(table, "| all | {all_lines} | {all_files} | {all_circles} | | |\n");
    table.push_str("Lines are those of Rust that are neither blank, comment nor test.\n");
    table
}

/// Whether a package of this folder ships the file: `src`, and the programs of `examples`.
fn is_shipped_by(folder: &str, path: &str) -> bool {
    path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')).is_some_and(|rest| !rest.starts_with("tests/"))
}

fn folders(tree: &Tree) -> BTreeMap<&str, &str> {
    tree.packages.iter().filter_map(|package| Some((package["name"].as_str()?, package["folder"].as_str()?))).collect()
}

fn crate_circles(tree: &Tree) -> String {
    let folders = folders(tree);
    let mut arrows = Vec::new();
    for package in &tree.packages {
        let from = package["folder"].as_str().unwrap_or_default();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().and_then(|name| folders.get(name)).copied();
            arrows.extend(to.filter(|_| dependency["kind"] != "dev").map(|to| (from, to)));
        }
    }
    let found = circles(arrows);
    let mut told = "\n## Circles of crates\n\n".to_owned();
    if found.is_empty() {
        told.push_str("None.\n");
    }
    for circle in found {
        let _ = writeln!(told, "- {}", circle.way.join(" -> "));
    }
    told
}

fn file_circles(crates: &[CrateFiles]) -> String {
    let mut told = "\n## Circles of files\n\n".to_owned();
    let mut none = true;
    for files in crates {
        let folder = files.root.rsplit_once('/').map_or("", |(folder, _)| folder);
        let short = |index: &usize| files.files[*index].trim_start_matches(folder).trim_start_matches('/').to_owned();
        for circle in circles(files.arrows.keys().copied()) {
            none = false;
            let members: Vec<String> = circle.members.iter().map(short).collect();
            let way: Vec<String> = circle.way.iter().chain(circle.way.first()).map(short).collect();
            let _ = writeln!(told, "- `{folder}`: {} files, such as {}", members.len(), way.join(" -> "));
        }
    }
    if none {
        told.push_str("None.\n");
    }
    told
}

fn targets(tree: &Tree) -> String {
    let mut told = "\n## Sizes and words\n\n| What | Lines | Target |\n|---|--:|--:|\n".to_owned();
    for (folder, target) in TARGETS {
        let own = tree.rust().filter(|file| file.path.starts_with(folder));
        let lines: usize = own.filter(|file| !file.is_test()).map(|file| shipped_line_count(&file.text)).sum();
        let _ = writeln!(told, "| `{folder}` | {lines} | {target} |");
    }
    let lua = tree.files.iter().filter(|file| file.path.ends_with(".lua"));
    let lines: usize = lua.map(|file| lua_line_count(&file.text)).sum();
    let _ = writeln!(told, "| Lua in `stores/redis` | {lines} | |");
    let _ = writeln!(told, "\n| Words that were given up, as identifiers | Lines with one |\n|---|--:|");
    for (place, count) in old_words::counts(tree) {
        let _ = writeln!(told, "| `{place}` | {count} |");
    }
    told
}

fn lua_line_count(text: &str) -> usize {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("--")).count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Lines, arrows and circles of a small tree stand in the map.
    #[test]
    fn the_map_tells_lines_arrows_and_circles() {
        let mut tree = Tree::of(&[
            ("a/src/lib.rs", "//! A.\nmod b;\npub struct A;\npub fn f() { b::g(); }\n"),
            ("a/src/b.rs", "//! B.\nuse super::A;\npub fn g(_: A) {}\n"),
            ("a/tests/t.rs", "fn t() {}\n"),
            ("c/src/lib.rs", "//! C.\n"),
        ]);
        let on = |name: &str| json!([{"name": name, "kind": null}]);
        tree.packages = vec![
            json!({"name": "x-a", "folder": "a", "dependencies": on("x-c")}),
            json!({"name": "x-c", "folder": "c", "dependencies": on("x-a")}),
        ];
        let map = render(&tree);
        assert!(map.contains("| `a` | 5 | 2 | 1 | c |  |"), "{map}");
        assert!(
            map.contains("- a -> c") && map.contains("- `a/src`: 2 files, such as lib.rs -> b.rs -> lib.rs"),
            "{map}"
        );
    }
}
