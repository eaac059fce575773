//! Opens the store that an operator's command works on, and bounds every call to it.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use futures_util::FutureExt;
use tenure_core::{KeyPrefix, LeaseKey, LeaseRecord};
use tenure_open::{OpenError, file_of, shown};
use tenure_store::{LeaseStore, StoreError, StoreErrorKind};

use crate::config_file::Source;
use crate::exit::Exit;
use crate::{command_store, host_settings};

/// How long one call to a store may take, whatever time-out the store has itself.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);

/// The help of every flag that names a store, so that all commands describe the same stores.
macro_rules! store_help {
    () => {
        "Store of the leases, as `tenure stores` lists them [env: TENURE_STORE] [default: that of \
         /etc/tenure/config.toml, else sqlite: in the state folder]"
    };
}
pub(crate) use store_help;

/// The flag that names the store.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StoreArgs {
    // The environment is read here and not by clap, so that it is known where the URL came from.
    #[arg(long, short, value_name = "URL", help = store_help!())]
    store: Option<String>,
}

impl StoreArgs {
    /// Returns the URL that counts: the flag's, the environment's, that of the host's settings, or that of the default store.
    pub(crate) fn url(&self) -> Result<String> {
        self.named().map(|(url, _)| url)
    }

    /// Returns the URL that counts, and where it came from. Fails where another source than the flag names no store.
    pub(crate) fn named(&self) -> Result<(String, Source)> {
        match host_settings::resolve("store", self.store.as_deref(), command_store::STORE)? {
            Some((url, source)) => {
                if source != Source::Flag {
                    check(&url).map_err(|error| from(&source, error))?;
                }
                Ok((command_store::with_login(url), source))
            }
            None => Ok((crate::places::default_store().map_err(Exit::usage)?, Source::Default)),
        }
    }

    /// Opens the store for changes. Returns `None` where the store is a file that does not exist yet: it holds no
    /// lease, and a mistyped path should create no file. Fails as unreachable, or as a usage error where the URL names
    /// no store.
    pub(crate) async fn open_existing(&self) -> Result<Option<Arc<dyn LeaseStore>>> {
        match self.missing_file()? {
            Some(_) => Ok(None),
            None => open(&self.url()?).await.map(Some),
        }
    }

    /// Opens the store for reading: like [`StoreArgs::open_existing`], but neither a store's file nor anything beside
    /// it changes.
    pub(crate) async fn open_to_read(&self) -> Result<Option<Arc<dyn LeaseStore>>> {
        if self.missing_file()?.is_some() {
            return Ok(None);
        }
        let url = self.url()?;
        opened(&url, tenure_open::open_to_read(&url)).await.map(Some)
    }

    /// Returns the path of a file store that does not exist yet or is empty, if its folder exists or will be created.
    /// Fails where the URL is wrong, whether or not the file exists.
    pub(crate) fn missing_file(&self) -> Result<Option<PathBuf>> {
        let url = self.url()?;
        check(&url)?;
        Ok(file_of(&url).filter(|path| is_missing(path)))
    }

    /// Whether no store was named, by nobody.
    pub(crate) fn is_default(&self) -> bool {
        self.named().is_ok_and(|(_, source)| source == Source::Default)
    }

    /// The message where [`StoreArgs::open_existing`] returned `None`.
    pub(crate) fn missing(&self) -> String {
        let url = self.url().unwrap_or_default();
        let place = file_of(&url).map_or_else(|| shown(&url), |path| path.display().to_string());
        format!("there is no store at {place} yet: the first lease makes it")
    }

    /// The message where a lease that was acquired is looked for, and there is no store.
    pub(crate) fn elsewhere(&self) -> String {
        let url = self.url().unwrap_or_default();
        let place = file_of(&url).map_or_else(|| shown(&url), |path| path.display().to_string());
        format!("there is no store at {place}: name the one that has the lease, with --store or TENURE_STORE")
    }
}

/// The usage error for what this source says.
pub(crate) fn from(source: &Source, error: anyhow::Error) -> anyhow::Error {
    Exit::usage(anyhow!("{error:#} (from {source})"))
}

/// Checks that the URL names a store of this binary, without opening it or asking a server. A failure here is a usage
/// error; a failure on opening is an unreachable store.
pub(crate) fn check(url: &str) -> Result<()> {
    tenure_open::check(url).map_err(|error| match error {
        OpenError::Store(error) => Exit::usage(anyhow::Error::new(error).context(format!("the store {}", shown(url)))),
        // A string that is no URL may be anything, even a password, so the error does not repeat it.
        wrong => Exit::usage(anyhow::Error::new(wrong).context("the store's URL")),
    })
}

/// Opens the store that the URL names, and creates it where it is a file that can be created. Fails as [`check`] does,
/// or as unreachable.
pub(crate) async fn open(url: &str) -> Result<Arc<dyn LeaseStore>> {
    check(url)?;
    if let Some(path) = file_of(url) {
        crate::places::prepare(&path).map_err(Exit::unreachable)?;
    }
    opened(url, tenure_open::open(url)).await
}

/// Waits at most [`ANSWER`] for a store to be opened.
async fn opened(
    url: &str,
    opening: impl Future<Output = Result<Arc<dyn LeaseStore>, OpenError>>,
) -> Result<Arc<dyn LeaseStore>> {
    let opened = match tokio::time::timeout(ANSWER, opening).await {
        Ok(opened) => opened,
        Err(_) => {
            let error = StoreError::new(StoreErrorKind::TimedOut, format!("no answer within {ANSWER:?}"));
            return Err(Exit::unreachable(anyhow!(error).context(format!("the store {}", shown(url)))));
        }
    };
    opened.map_err(|error| {
        let error = match error {
            OpenError::Store(error) => anyhow::Error::new(error),
            other => anyhow::Error::new(other),
        };
        Exit::unreachable(error.context(format!("the store {}", shown(url))))
    })
}

/// Waits at most [`ANSWER`] for a store's answer.
pub(crate) async fn answer<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T> {
    match tokio::time::timeout(ANSWER, call).await {
        Ok(answer) => answer.context("the store"),
        Err(_) => Err(anyhow!("the store: no answer within {ANSWER:?}")),
    }
}

/// Whether the store may be reached later without anybody changing what was asked for.
pub(crate) fn is_away(error: &anyhow::Error) -> bool {
    store_error(error).is_some_and(StoreError::is_retryable)
}

/// Whether what was asked of the store may have been done all the same.
pub(crate) fn is_outcome_unknown(error: &anyhow::Error) -> bool {
    store_error(error).is_none_or(StoreError::is_outcome_unknown)
}

fn store_error(error: &anyhow::Error) -> Option<&StoreError> {
    let error = error.downcast_ref::<Exit>().map_or(error, Exit::error);
    error.downcast_ref::<StoreError>()
}

/// The record of one key; `None` where nobody holds it.
pub(crate) async fn record(store: &dyn LeaseStore, key: &LeaseKey) -> Result<Option<LeaseRecord>> {
    answer(store.record(key)).await
}

/// Runs an operator's command on a runtime of its own. A store call that still blocks a thread does not delay its end.
pub(crate) fn block_on<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Boxed without its type: else the runtime is compiled anew for each command, twice.
    let outcome = runtime.block_on(command.boxed_local());
    runtime.shutdown_background();
    outcome
}

/// Reads `--lease`.
pub(crate) fn parse_key(text: &str) -> Result<LeaseKey, String> {
    LeaseKey::new(text).map_err(|error| error.to_string())
}

/// Reads `--prefix`.
pub(crate) fn parse_prefix(text: &str) -> Result<KeyPrefix, String> {
    KeyPrefix::new(text).map_err(|error| error.to_string())
}

/// Whether the file is missing or empty although its folder exists. Every other problem is left to the store to report.
/// The default folder counts as existing, because the first lease creates it.
fn is_missing(path: &Path) -> bool {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_default = || crate::places::state_folder().is_ok_and(|default| path.starts_with(default));
    let is_there = match path.metadata() {
        Ok(found) => !found.is_file() || found.len() > 0,
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    !is_there && path.file_name().is_some_and(|name| name != ":memory:") && (folder.is_dir() || is_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file in a folder that is there is missing, and so is an empty one; one in a folder that is not is an error to be told.
    #[test]
    fn a_missing_file_is_told_from_a_missing_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(is_missing(&path("leases.db")));
        assert!(!is_missing(&path("no/such/leases.db")));
        std::fs::write(folder.path().join("leases.db"), "").unwrap();
        assert!(is_missing(&path("leases.db")), "an empty file is new");
        std::fs::write(folder.path().join("leases.db"), "something").unwrap();
        assert!(!is_missing(&path("leases.db")));
        assert!(!is_missing(Path::new(":memory:")));
    }
}
