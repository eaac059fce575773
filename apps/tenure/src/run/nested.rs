//! A run in the command of another run that holds the same lease, and would wait for it: for itself, that is.

use anyhow::{Result, anyhow};
use tenure_supervise::{StatusLine, status_file};

use super::config::{Config, Wait};
use crate::command_store::{self, CommandStore};
use crate::exit::Exit;

/// Refuses a run that would wait for the run around it for ever; one that would wait for a while is told so. Answers whether there is
/// a run around this one that holds the same lease: then this one is not to be had, unless somebody takes it away.
pub(super) fn check(config: &Config) -> Result<bool> {
    let Some(key) = key_around(config) else { return Ok(false) };
    let lease = config.keys.lease();
    if config.keys.all().len() > 1 {
        if !config.quiet {
            say!("tenure: this runs under {key} already (TENURE_KEY), and is to hold another slot of {lease} besides");
        }
        return Ok(false);
    }
    match config.wait {
        Wait::No => {}
        Wait::AtMost(_) if config.quiet => {}
        Wait::AtMost(_) => say!("tenure: this runs under {key} already (TENURE_KEY), and waits for itself"),
        Wait::Forever => {
            return Err(Exit::usage(anyhow!(
                "this runs under {key} already (TENURE_KEY), and would wait for itself for ever; run the command as it is, or ask \
                 first: [ \"$TENURE_KEY\" = {key} ] || ..."
            )));
        }
    }
    Ok(true)
}

/// The key that a run around this one holds, where it is one of those that are asked for, in the same store.
fn key_around(config: &Config) -> Option<String> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let key = variable("TENURE_KEY")?;
    let is_asked_for = config.keys.all().iter().any(|asked| asked.as_str() == key);
    let store = variable(command_store::STORE)?;
    let is_same = CommandStore::new(&config.store).is_some_and(|asked| asked.url == store);
    // Only what is a file: another thing of that name might never end, or never answer.
    let file = std::path::PathBuf::from(variable(status_file::VARIABLE)?);
    let is_file = std::fs::metadata(&file).is_ok_and(|found| found.is_file() && found.len() < 4096);
    let status = is_file.then(|| std::fs::read_to_string(&file).ok()).flatten()?;
    let status = StatusLine::parse(&status)?;
    // What has left its command, and outlived it, is under no lease any more.
    let is_current = status.is_of_this_clock() && tenure::now() < status.deadline;
    (is_asked_for && is_same && is_current).then_some(key)
}
