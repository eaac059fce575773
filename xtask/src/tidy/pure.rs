//! The pure crates use no standard library, so no clock, no socket, no file and no random source.

use serde_json::Value;

use super::rule::{Finding, Rule, Verdict};
use crate::lex::{code_only, shipped_lines, words};
use crate::tree::Tree;

pub(super) const RULE: Rule = Rule {
    name: "pure",
    what: "lease/core, chat/irc and chat/envelope are no_std, name std nowhere, and depend only on what is listed, without its feature `os`",
    check,
};

/// The folders of the pure crates, each with the packages of others that it may use.
const PURE: &[(&str, &[&str])] = &[
    ("lease/core", &["tenure-base-time"]),
    ("chat/irc", &["tenure-core", "memchr"]),
    ("chat/envelope", &["tenure-irc", "base64", "sha1"]),
];

fn check(tree: &Tree) -> Verdict {
    let mut findings = Vec::new();
    for (folder, allowed) in PURE {
        let source = format!("{folder}/src/");
        for file in tree.rust().filter(|file| file.path.starts_with(&source) && !file.is_test()) {
            let code = code_only(&file.text);
            if file.path.ends_with("src/lib.rs") && !code.contains("#![no_std]") {
                findings.push(Finding::new(&file.path, 1, "a pure crate begins with #![no_std]"));
            }
            for (number, line) in shipped_lines(&code) {
                if words(line).any(|word| word == "std") {
                    findings.push(Finding::new(&file.path, number, "a pure crate names std: use core or alloc"));
                }
            }
        }
        let package = tree.packages.iter().find(|package| package["folder"] == *folder);
        for dependency in package.and_then(|package| package["dependencies"].as_array()).into_iter().flatten() {
            let name = dependency["name"].as_str().unwrap_or_default();
            if dependency["kind"] == Value::Null && !allowed.contains(&name) {
                let what =
                    format!("a pure crate depends on {name}: list it in xtask/src/tidy/pure.rs if it is pure too");
                findings.push(Finding::new(&format!("{folder}/Cargo.toml"), 0, what));
            }
            if dependency["kind"] == Value::Null && asks_for_os(dependency) {
                let what = format!("a pure crate takes the feature `os` of {name}: `now` is an argument");
                findings.push(Finding::new(&format!("{folder}/Cargo.toml"), 0, what));
            }
        }
    }
    Verdict::of(findings)
}

/// Whether a dependency enables the operating system's clocks and timers.
fn asks_for_os(dependency: &Value) -> bool {
    dependency["features"].as_array().into_iter().flatten().any(|feature| feature == "os")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// std in code is found; std in a comment or in a test is not.
    #[test]
    fn std_in_a_pure_crate_is_found() {
        let good = "//! x\n#![no_std]\n// std is absent\n#[cfg(test)]\nextern crate std;\n#[cfg(test)]\nmod tests {\nuse std::x;\n}\n";
        assert_eq!(check(&Tree::of(&[("lease/core/src/lib.rs", good)])), Verdict::Kept);
        let bad = "//! x\n#![no_std]\nuse std::time::SystemTime;\n";
        let Verdict::Broken(findings) = check(&Tree::of(&[("lease/core/src/lib.rs", bad)])) else { panic!("kept") };
        assert_eq!(findings[0].line, 3);
    }

    /// A crate that forgets the attribute is found.
    #[test]
    fn a_pure_crate_with_std_linked_is_found() {
        assert!(matches!(check(&Tree::of(&[("chat/irc/src/lib.rs", "//! x\n")])), Verdict::Broken(_)));
    }

    /// A dependency that was not thought about is found; one of tests is not.
    #[test]
    fn an_unlisted_dependency_is_found() {
        let of = |kind: Value| {
            let packages = vec![json!({"folder": "chat/irc", "dependencies": [{"name": "tmi", "kind": kind}]})];
            check(&Tree { packages, ..Tree::default() })
        };
        assert!(matches!(of(Value::Null), Verdict::Broken(_)));
        assert_eq!(of("dev".into()), Verdict::Kept);
    }

    /// The type of a moment is pure, the clock is not; tests may look at it.
    #[test]
    fn the_clock_of_the_system_is_found() {
        let of = |kind: Value, features: Value| {
            let on = json!([{"name": "tenure-base-time", "kind": kind, "features": features}]);
            check(&Tree { packages: vec![json!({"folder": "lease/core", "dependencies": on})], ..Tree::default() })
        };
        assert_eq!(of(Value::Null, json!([])), Verdict::Kept);
        assert_eq!(of("dev".into(), json!(["os"])), Verdict::Kept);
        assert!(matches!(of(Value::Null, json!(["os"])), Verdict::Broken(_)));
    }
}
