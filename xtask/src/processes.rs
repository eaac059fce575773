//! The tests whose processes run now, read from `/proc`: nextest runs each test as a process of its own.

use std::collections::HashMap;
use std::fs;

/// Names such as `e2e demo::the_demo_loses_nothing` of the tests that this process has started, directly or not. Empty on a
/// system without `/proc`.
pub(crate) fn tests_below(ancestor: u32) -> Vec<String> {
    let mut parents = HashMap::new();
    let mut tests = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Some(parent) = fs::read_to_string(entry.path().join("stat")).ok().and_then(|stat| parent_of(&stat)) else {
            continue;
        };
        parents.insert(pid, parent);
        if let Some(test) = fs::read(entry.path().join("cmdline")).ok().and_then(|line| test_of(&line)) {
            tests.push((pid, test));
        }
    }
    let is_below = |mut pid: u32| {
        // No process has more ancestors than there are processes, so this ends even where the list is torn.
        for _ in 0..parents.len() {
            match parents.get(&pid) {
                Some(parent) if *parent == ancestor => return true,
                Some(parent) => pid = *parent,
                None => return false,
            }
        }
        false
    };
    let mut names: Vec<String> = tests.into_iter().filter(|(pid, _)| is_below(*pid)).map(|(_, test)| test).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The parent's pid in the text of `/proc/PID/stat`. The program's name may hold anything, even parentheses.
fn parent_of(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// `target/debug/deps/e2e-0a1b --exact demo::starts --nocapture` gives `e2e demo::starts`.
fn test_of(command_line: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(command_line);
    let words: Vec<&str> = text.split('\0').collect();
    let binary = words.first()?.rsplit('/').next()?;
    let at = words.iter().position(|word| *word == "--exact")?;
    // libtest takes the name on either side of the flag.
    let name = [at.checked_sub(1).filter(|before| *before > 0), Some(at + 1)];
    let name = name.into_iter().flatten().filter_map(|at| words.get(at)).find(|name| !name.starts_with('-'))?;
    let binary = binary.rsplit_once('-').map_or(binary, |(binary, _hash)| binary);
    (!name.is_empty()).then(|| format!("{binary} {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test is told by the arguments that nextest gives it, and other programs are no tests.
    #[test]
    fn a_test_is_told_by_its_arguments() {
        let nextest = b"/x/target/debug/deps/e2e-0a1b\0--exact\0demo::starts\0--nocapture\0";
        assert_eq!(test_of(nextest).as_deref(), Some("e2e demo::starts"));
        assert_eq!(test_of(b"/x/deps/e2e-0a1b\0demo::starts\0--exact\0").as_deref(), Some("e2e demo::starts"));
        assert_eq!(test_of(b"/usr/bin/grep\0--exact\0"), None);
        assert_eq!(test_of(b"cargo\0nextest\0run\0"), None);
    }

    /// The parent is the second word behind the name, whatever the name is.
    #[test]
    fn the_parent_stands_behind_the_name() {
        assert_eq!(parent_of("12 (a) b) S 7 12 12"), Some(7));
    }
}
