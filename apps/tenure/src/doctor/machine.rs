//! Checks what this machine offers to a process: clocks, folders, open files, the terminal.

use std::io::IsTerminal;
use std::path::Path;

use super::finding::Finding;
use crate::places;

/// Open files that a busy daemon should be allowed: a connection each, and as many again for reconnects.
const OPEN_FILES: u64 = 1_024;

/// Runs every check that asks no server.
pub(super) fn check() -> Vec<Finding> {
    vec![clock(), state_folder(), open_files(), terminal()]
}

/// Checks that deadlines use a clock that counts while the machine sleeps.
fn clock() -> Finding {
    if !cfg!(target_os = "linux") {
        return Finding::warn(
            "clock",
            "there is no boottime clock here: the time that the machine sleeps is not counted",
            "do not let machines sleep that hold leases, or check terms at whatever the work writes to",
        );
    }
    let (first, second) = (tenure::now(), tenure::now());
    if second < first || first == tenure::Time::ZERO {
        return Finding::fail(
            "clock",
            "the boottime clock does not run",
            "run on a kernel that has CLOCK_BOOTTIME; some sandboxes do not",
        );
    }
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let shifted = read("/proc/self/timens_offsets").lines().any(|line| {
        line.split_whitespace().skip(1).any(|number| number.parse::<i64>().is_ok_and(|number| number != 0))
    });
    let source = read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let source = match source.trim() {
        "" => String::new(),
        source => format!(", from {source}"),
    };
    let namespace = if shifted { ", shifted by a time namespace" } else { "" };
    Finding::ok("clock", format!("the boottime clock runs{source}{namespace}"))
}

/// Checks the state folder, where the default store and bus live.
fn state_folder() -> Finding {
    let folder = match places::state_folder() {
        Ok(folder) => folder,
        Err(error) => {
            return Finding::warn(
                "folder",
                crate::exit::told(&error),
                "set HOME or XDG_STATE_HOME, or name store and bus with --store and --bus",
            );
        }
    };
    // The nearest existing folder decides; nothing is created.
    let Some(there) = folder.ancestors().find(|folder| folder.exists()) else {
        return Finding::warn("folder", format!("{} cannot be made", folder.display()), "set XDG_STATE_HOME");
    };
    let shown = folder.display();
    match tempfile::Builder::new().prefix(".tenure-doctor").tempfile_in(there) {
        Ok(_) if there == folder => Finding::ok("folder", format!("{shown} can be written")),
        Ok(_) => Finding::ok("folder", format!("{shown} is not there yet and can be made")),
        Err(error) => Finding::warn(
            "folder",
            format!("{} cannot be written: {error}", there.display()),
            format!("make {shown} this user's (chown), set XDG_STATE_HOME, or name store and bus"),
        ),
    }
}

fn open_files() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match limit {
        Some(limit) if limit < OPEN_FILES => Finding::warn(
            "open files",
            format!("at most {limit} files can be open at a time"),
            format!("raise the limit: ulimit -n {OPEN_FILES}, or LimitNOFILE= in the unit"),
        ),
        Some(limit) => Finding::ok("open files", format!("up to {limit} files can be open")),
        None => Finding::ok("open files", "any number of files can be open"),
    }
}

fn terminal() -> Finding {
    if !std::io::stdout().is_terminal() {
        return Finding::ok("terminal", "stdout is no terminal: tables are 120 wide unless COLUMNS says otherwise");
    }
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok());
    let locale = locale.into_iter().find(|value| !value.is_empty()).unwrap_or_default().to_lowercase();
    if !(locale.contains("utf-8") || locale.contains("utf8")) {
        return Finding::warn(
            "terminal",
            "the locale does not say UTF-8: names in other scripts may not line up",
            "export LC_ALL=C.UTF-8",
        );
    }
    if std::env::var("TERM").is_ok_and(|term| term == "dumb") || !Path::new("/dev/tty").exists() {
        return Finding::warn(
            "terminal",
            "the terminal is a dumb one: `tenure demo` shows no moving picture",
            "set TERM to what the terminal is, such as xterm-256color",
        );
    }
    Finding::ok("terminal", "stdout is a terminal with UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Severity;

    /// The machine that these tests run on can run leases.
    #[test]
    fn this_machine_is_fit() {
        assert!(check().iter().all(|finding| finding.severity != Severity::Fail), "{:?}", check());
    }
}
