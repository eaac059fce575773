//! The schemes of URLs are known to `stores/open`, to `buses/open`, and to the crate of each store or bus alone.

use super::rule::{Finding, Rule, Verdict};
use crate::lex::{code_only, strings};
use crate::tokens::tested_lines;
use crate::tree::Tree;

pub(super) const RULE: Rule = Rule {
    name: "schemes",
    what: "scheme names of stores and buses stand in stores/open, buses/open and their own crates alone",
    check,
};

/// The schemes of each store and bus.
const SCHEMES: &[&str] = &[
    "memory",
    "sqlite",
    "redis",
    "valkey",
    "postgres",
    "postgresql",
    "mysql",
    "sqlserver",
    "kubernetes",
    "consul",
    "etcd",
    "nats",
    "firestore",
    "zookeeper",
    "s3",
    "gs",
    "az",
    "dynamodb",
    "pubsub",
    "stdout",
];

/// The files in which any scheme may stand: the two crates that know all schemes, and code that is not shipped to
/// users.
const EXCEPTED: &[&str] =
    &["stores/open/", "buses/open/", "benches/", "testing/", "xtask/", "lease/conformance/", "chat/bus-conformance/"];

/// The stores and buses whose own crate is not `stores/NAME`, `buses/NAME` or `base/NAME`.
const HOMES: &[(&str, &str)] = &[("memory", "lease/store/"), ("stdout", "chat/bus/")];

fn check(tree: &Tree) -> Verdict {
    let mut findings = Vec::new();
    let is_left_out = |path: &str| EXCEPTED.iter().any(|at| path.starts_with(at));
    let files = tree.rust().filter(|file| !file.is_test() && !is_left_out(&file.path));
    for file in files {
        let code = code_only(&file.text);
        let tested = tested_lines(&code);
        for (line, string) in strings(&file.text) {
            let Some(scheme) = scheme(string) else { continue };
            let is_feature = code.lines().nth(line - 1).is_some_and(|code| code.contains("feature ="));
            let is_tested = tested.iter().any(|lines| lines.contains(&line));
            if !is_feature && !is_tested && !is_home(scheme, &file.path) {
                let what = format!("matches the scheme {string:?}: ask stores/open, buses/open, or what they opened");
                findings.push(Finding::new(&file.path, line, what));
            }
        }
    }
    Verdict::of(findings)
}

/// The scheme that a string names and nothing else: `redis`, `redis:`, `rediss://`, `redis-cluster`. Help and examples
/// go on behind it, and name none.
fn scheme(string: &str) -> Option<&'static str> {
    let name = string.trim_end_matches('/').trim_end_matches(':');
    SCHEMES
        .iter()
        .find(|scheme| {
            let rest = name.strip_prefix(**scheme).map(|rest| rest.strip_prefix('s').unwrap_or(rest));
            rest.is_some_and(|rest| rest.is_empty() || VARIANTS.contains(&rest))
        })
        .copied()
}

/// The suffixes that a scheme's name may have.
const VARIANTS: &[&str] = &["+unix", "+tls", "-sentinel", "-cluster"];

fn is_home(scheme: &str, path: &str) -> bool {
    let scheme = match scheme {
        "valkey" => "redis",
        "postgresql" => "postgres",
        scheme => scheme,
    };
    let folders = ["stores", "buses", "base"];
    folders.iter().any(|folder| path.starts_with(&format!("{folder}/{scheme}/")))
        || HOMES.iter().any(|(home, at)| *home == scheme && path.starts_with(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_kept(path: &str, text: &str) -> bool {
        check(&Tree::of(&[(path, text)])) == Verdict::Kept
    }

    /// A scheme that is matched outside its home is found, however it is written.
    #[test]
    fn a_scheme_outside_its_home_is_found() {
        for text in [
            "match a { \"redis\" => b }",
            "url.strip_prefix(\"sqlite:\")",
            "starts_with(\"nats://\")",
            "== \"rediss\"",
            "\"redis-cluster\"",
        ] {
            assert!(!is_kept("apps/other/src/store.rs", text), "{text}");
            assert!(is_kept("stores/open/src/scheme.rs", text) && is_kept("buses/open/src/lib.rs", text), "{text}");
        }
        assert!(
            !is_kept("stores/sqlite/src/config.rs", "\"redis:\"") && is_kept("stores/redis/src/url.rs", "\"redis:\"")
        );
        assert!(is_kept("lease/store/src/memory.rs", "\"memory\"") && !is_kept("lease/core/src/a.rs", "\"memory\""));
    }

    /// Tests, help, examples and names of features match no scheme.
    #[test]
    fn help_and_tests_name_urls_as_they_like() {
        let app = "apps/other/src/store.rs";
        for text in [
            "/// `sqlite:`",
            "help = \"sqlite:PATH or redis://HOST\"",
            "#[cfg(feature = \"redis\")]",
            "#[cfg(test)]\nmod tests {\nfn a() { b(\"sqlite:\") }\n}",
        ] {
            assert!(is_kept(app, text), "{text}");
        }
        assert!(is_kept("apps/other/tests/e2e/a.rs", "\"sqlite:\""));
    }
}
