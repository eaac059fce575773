//! Modules of one crate never use each other in circles: what two of them need lies in a file below both.

use super::rule::{Finding, Rule, Verdict};
use crate::circles::{Circle, circles};
use crate::crate_files::{CrateFiles, crates};
use crate::tree::Tree;

pub(super) const RULE: Rule = Rule {
    name: "circles",
    what: "files of one crate never use each other in circles, a parent and its submodule neither",
    check,
};

fn check(tree: &Tree) -> Verdict {
    let mut findings = Vec::new();
    for files in crates(tree) {
        findings.extend(circles(files.arrows.keys().copied()).iter().map(|circle| finding(&files, circle)));
    }
    Verdict::of(findings)
}

fn finding(files: &CrateFiles, circle: &Circle<usize>) -> Finding {
    let steps = circle.way.iter().zip(circle.way.iter().cycle().skip(1)).filter_map(|(from, to)| {
        let (line, name) = files.arrows.get(&(*from, *to))?;
        Some((&files.files[*from], *line, format!("{name} (of {})", files.files[*to])))
    });
    let mut told = String::new();
    let mut first = None;
    for (path, line, what) in steps {
        if first.is_none() {
            first = Some((path, line));
            told.push_str(&format!("uses {what}"));
        } else {
            told.push_str(&format!(", and {path}:{line} uses {what}"));
        }
    }
    let (path, line) = first.unwrap_or((&files.root, 0));
    let further = circle.members.len() - circle.way.len();
    let crowd = if further > 0 { format!(" ({further} more in the same circle)") } else { String::new() };
    Finding::new(path, line, format!("{told}: a circle{crowd}; put what both need into a file below both"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(files: &[(&str, &str)]) -> Option<String> {
        match check(&Tree::of(files)) {
            Verdict::Broken(findings) => Some(findings[0].to_string()),
            _ => None,
        }
    }

    /// Two files that use each other are found, with both lines; a use in one direction only is no circle.
    #[test]
    fn two_files_in_a_circle_are_found() {
        let root = "mod b;\nmod c;\npub use c::C;";
        let (b, c) = ("use crate::C;\npub struct B;", "pub struct C;\nuse super::b::B;");
        let told = broken(&[("a/src/lib.rs", root), ("a/src/b.rs", b), ("a/src/c.rs", c)]).expect("broken");
        assert!(told.contains("a/src/b.rs:1") && told.contains("a/src/c.rs:2"), "{told}");
        assert_eq!(broken(&[("a/src/lib.rs", root), ("a/src/b.rs", b), ("a/src/c.rs", "pub struct C;")]), None);
    }

    /// A parent that uses its submodule may not define what that one uses; one that merely declares it may.
    #[test]
    fn a_parent_and_its_submodule_are_a_circle() {
        let child = ("a/src/b.rs", "use super::R;\npub fn f(_: R) {}");
        assert!(broken(&[("a/src/lib.rs", "mod b;\npub struct R;\npub fn g() { b::f(R); }"), child]).is_some());
        assert_eq!(broken(&[("a/src/lib.rs", "mod b;\npub struct R;\npub use b::f;"), child]), None);
    }

    /// Code that is compiled for tests only makes no circle.
    #[test]
    fn tests_make_no_circles() {
        let child = ("a/src/b.rs", "pub fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::g;\n}");
        assert_eq!(broken(&[("a/src/lib.rs", "mod b;\npub fn g() { b::f(); }"), child]), None);
    }
}
