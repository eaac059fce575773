//! What a run was measured on.

use std::fs;
use std::process::Command;

/// The output of `PROGRAM --version`.
pub(crate) fn version_of(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    output.map_or_else(|_| "not there".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The name and release of the operating system's kernel.
pub(crate) fn kernel() -> String {
    let system = rustix::system::uname();
    format!("{} {}", system.sysname().to_string_lossy(), system.release().to_string_lossy())
}

/// The name of the processor.
pub(crate) fn cpu_name() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name.trim()));
    name.unwrap_or("unnamed").to_owned()
}
