//! The default places: the state folder, and the store and the bus in it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The state folder: `${XDG_STATE_HOME:-~/.local/state}/tenure`.
pub(crate) fn state_folder() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_STATE_HOME").filter(|value| !value.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => {
            let home = std::env::var_os("HOME")
                .filter(|value| !value.is_empty())
                .context("neither XDG_STATE_HOME nor HOME is set, so there is no default place")?;
            PathBuf::from(home).join(".local/state")
        }
    };
    Ok(base.join("tenure"))
}

/// The URL of the default store: a file in the state folder.
pub(crate) fn default_store() -> Result<String> {
    let folder = state_folder().map_err(|error| error.context("name the store with --store"))?;
    Ok(tenure_open::file_url(&folder.join("leases.db")))
}

/// The URL of the default bus: a file in the state folder.
pub(crate) fn default_bus() -> Result<String> {
    let folder = state_folder().map_err(|error| error.context("name the bus with --bus"))?;
    Ok(tenure_bus_open::file_url(&folder.join("bus.db")))
}

/// Creates the state folder if the path of a store or bus lies in it, so that the defaults work on a fresh machine.
/// Other folders are not created, because a mistyped path should be an error.
pub(crate) fn prepare(path: &Path) -> Result<()> {
    let folder = match state_folder() {
        Ok(folder) => folder,
        Err(_) => return Ok(()),
    };
    if path.starts_with(&folder) {
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    Ok(())
}
