//! The key of `tenure run` where it stands first, without `--lease`, as flock's file does.
//!
//! A command line without `--lease` is rewritten to one with it before it is parsed. So options may stand on both sides of the key, and
//! `tenure run --lease KEY CMD` means what it always has: the first word is the command.

use std::ffi::OsString;

use anyhow::{Result, anyhow};
use clap::{Arg, Command};

use crate::exit::Exit;

/// The arguments with `--lease=KEY` in place of a key that stands alone; `definition` is that of `tenure run`, and `arguments` are
/// those behind its name.
///
/// # Errors
/// Where it cannot be told whether a word is the key or the command, or the key is given twice.
pub(crate) fn with_key_named(mut arguments: Vec<OsString>, definition: &Command) -> Result<Vec<OsString>> {
    let Words { key, lease } = words(&arguments, definition)?;
    if let Some(at) = key {
        if lease {
            return Err(Exit::usage(anyhow!(
                "the key is given twice: as {:?} and by --lease; leave one of them out",
                arguments[at].to_string_lossy()
            )));
        }
        let mut named = OsString::from("--lease=");
        named.push(&arguments[at]);
        arguments[at] = named;
    }
    Ok(arguments)
}

/// What stands before the command.
struct Words {
    /// Where the key stands alone.
    key: Option<usize>,
    /// Whether `--lease` is there.
    lease: bool,
}

fn words(arguments: &[OsString], definition: &Command) -> Result<Words> {
    let mut found = Words { key: None, lease: false };
    let mut at = 0;
    while let Some(argument) = arguments.get(at) {
        let text = argument.to_string_lossy();
        let is_value_next = if text == "--" {
            break;
        } else if let Some(long) = text.strip_prefix("--") {
            let name = long.split('=').next().unwrap_or(long);
            // What is no flag is told of by the parser.
            let Some(flag) = find(definition, |flag| has_long(flag, name)) else { break };
            found.lease |= name == LEASE;
            name == long && takes_next(flag)
        } else if let Some(shorts) = text.strip_prefix('-').filter(|shorts| !shorts.is_empty()) {
            let Some(is_value_next) = shorts_take_next(shorts, definition, &mut found) else { break };
            is_value_next
        } else if let Some(key) = found.key {
            return Err(ambiguous(&arguments[key].to_string_lossy(), &text));
        } else if found.lease {
            // The command begins here.
            break;
        } else {
            found.key = Some(at);
            false
        };
        at += 1 + usize::from(is_value_next);
    }
    Ok(found)
}

/// The long name of the flag for the key.
const LEASE: &str = "lease";

/// Whether the value of the last of these short flags is the next argument; `None` where one of them is no flag.
fn shorts_take_next(shorts: &str, definition: &Command, found: &mut Words) -> Option<bool> {
    for (at, short) in shorts.char_indices() {
        let flag = find(definition, |flag| flag.get_short() == Some(short))?;
        found.lease |= flag.get_long() == Some(LEASE);
        if takes_next(flag) {
            // What follows in the same argument is its value.
            return Some(at + short.len_utf8() == shorts.len());
        }
    }
    Some(false)
}

fn find(definition: &Command, is_meant: impl Fn(&Arg) -> bool) -> Option<&Arg> {
    definition.get_arguments().find(|flag| is_meant(flag))
}

fn has_long(flag: &Arg, name: &str) -> bool {
    flag.get_long() == Some(name) || flag.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
}

fn takes_next(flag: &Arg) -> bool {
    flag.get_action().takes_values() && !flag.is_require_equals_set()
}

fn ambiguous(first: &str, second: &str) -> anyhow::Error {
    Exit::usage(anyhow!(
        "which of {first:?} and {second:?} is the key, and which the command? Write `--` before the command (tenure run {first} -- \
         {second} ...), or name the key with --lease; a shell line goes behind -c, as one argument"
    ))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn rewritten(line: &[&str]) -> Result<Vec<String>, String> {
        let definition = crate::cli::Cli::command();
        let run = definition.find_subcommand("run").unwrap();
        let arguments = line.iter().map(OsString::from).collect();
        let named = with_key_named(arguments, run).map_err(|error| error.to_string())?;
        Ok(named.into_iter().map(|argument| argument.into_string().unwrap()).collect())
    }

    /// The key is found wherever it stands before the command, whatever flags are around it.
    #[test]
    fn a_key_that_stands_alone_is_named() {
        for (line, expected) in [
            (&["k", "--", "c"][..], &["--lease=k", "--", "c"][..]),
            (&["k", "-c", "line"], &["--lease=k", "-c", "line"]),
            (&["-n", "k", "--ttl", "3s", "--", "c", "-n"], &["-n", "--lease=k", "--ttl", "3s", "--", "c", "-n"]),
            (&["-w", "3s", "k", "--", "c"], &["-w", "3s", "--lease=k", "--", "c"]),
            (&["-nw3s", "k", "--", "c"], &["-nw3s", "--lease=k", "--", "c"]),
            (&["-nw", "3s", "k", "--", "c"], &["-nw", "3s", "--lease=k", "--", "c"]),
            (&["--timeout", "3s", "k", "--", "c"], &["--timeout", "3s", "--lease=k", "--", "c"]),
            (&["--restart", "k", "--", "c"], &["--restart", "--lease=k", "--", "c"]),
            (&["k", "--wat", "3s", "--", "c"], &["--lease=k", "--wat", "3s", "--", "c"]),
            (&["k", "-h"], &["--lease=k", "-h"]),
            (&["--ttl=3s", "k", "-c", "l"], &["--ttl=3s", "--lease=k", "-c", "l"]),
        ] {
            assert_eq!(rewritten(line).unwrap(), expected, "{line:?}");
        }
    }

    /// A command line that names the key stays as it is: its first word is the command, with whatever follows.
    #[test]
    fn a_named_key_leaves_the_command_alone() {
        for line in [
            &["--lease", "k", "sh", "-c", "x"][..],
            &["--lease=k", "env", "--", "c"],
            &["-l", "k", "--", "c", "--lease", "x"],
            &["-nlk", "c", "d"],
            &["--", "c"],
            &["--help"],
        ] {
            assert_eq!(rewritten(line).unwrap(), line, "{line:?}");
        }
    }

    /// Two words before `--` may be key and command, or command and argument: nothing is guessed. A key that is given twice is refused.
    #[test]
    fn what_is_ambiguous_is_refused() {
        assert!(rewritten(&["k", "c"]).unwrap_err().contains("tenure run k -- c"));
        assert!(rewritten(&["k", "-c", "l", "more"]).unwrap_err().contains("more"));
        assert!(rewritten(&["k", "--lease", "j", "--", "c"]).unwrap_err().contains("twice"));
        assert!(rewritten(&["k", "-lj", "--", "c"]).unwrap_err().contains("twice"));
    }
}
