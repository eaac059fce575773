//! Finds the workspace, and calls its tools.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result};

/// The workspace's root folder.
pub(crate) fn root() -> PathBuf {
    // xtask lies directly below the root; the manifest's folder is known at compile time.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The folder of logs and results, which is created if it is missing.
pub(crate) fn logs() -> Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let folder = target.join("xtask");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    Ok(folder)
}

/// Where cargo puts a binary of the debug profile.
pub(crate) fn debug_binary(name: &str) -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("debug").join(format!("{name}{}", env::consts::EXE_SUFFIX))
}

/// Whether this is a run of continuous integration, in which nothing that is required may be missing.
pub(crate) fn in_ci() -> bool {
    env::var("CI").is_ok_and(|value| matches!(value.as_str(), "true" | "1"))
}

/// A command in the root folder, without what `cargo run` adds to the environment.
///
/// Build scripts that watch those variables would otherwise run again each time that `cargo xtask` and `cargo` itself
/// take turns.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let added = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"].iter().any(|p| text.starts_with(p));
        if added || matches!(text, "CARGO" | "CARGO_PRIMARY_PACKAGE" | "OUT_DIR" | "LD_LIBRARY_PATH") {
            command.env_remove(&name);
        }
    }
    command.env("CARGO_TERM_COLOR", "never");
    command
}

/// Whether a program answers to these arguments with success.
pub(crate) fn answers(program: &str, args: &[&str]) -> bool {
    command(program).args(args).output().is_ok_and(|output| output.status.success())
}
