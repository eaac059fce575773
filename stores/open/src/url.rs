//! What a store's URL says before it is opened: whether the store is a file, and which parts may be shown.

use std::path::{Path, PathBuf};

use tenure_base_net::disclosure::{Schemes, without_secrets};
use tenure_base_net::file_url::{self, FileUrl};

use crate::scheme::{FILE, MEMORY};

/// The file that the URL names; `None` where the store is not a file.
pub fn file_of(url: &str) -> Option<PathBuf> {
    FileUrl::parse(url, FILE).map(|url| url.path.into())
}

/// The URL of the store in the file at this path.
pub fn file_url(path: &Path) -> String {
    file_url::url_of(FILE, path)
}

/// The URL that names the same file from any working directory, options included; `None` where the store is not a file
/// or the path is unknown.
pub fn absolute(url: &str) -> Option<String> {
    FileUrl::parse(url, FILE)?.absolute()
}

/// Whether the store lives in the process's own memory, so that every other process that opens this URL gets another
/// one.
pub fn is_private(url: &str) -> bool {
    url.split(':').next() == Some(MEMORY)
}

/// The URL with `***` for what may be a secret. Works on the text alone, even where the URL is wrong.
pub fn shown(url: &str) -> String {
    without_secrets(url, Schemes { paths: &[FILE], tokens: &["nats", "tls"] })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file's URL is that of its path, and tells the path again.
    #[test]
    fn files_are_known() {
        let url = file_url(Path::new("/v/leases.db"));
        assert_eq!(file_of(&url), Some("/v/leases.db".into()));
        assert_eq!(absolute("sqlite:///v/x.db?poll_ms=5").as_deref(), Some("sqlite:/v/x.db?poll_ms=5"));
        assert_eq!((file_of("redis://h"), absolute("redis://h")), (None, None));
        assert!(is_private("memory:a") && !is_private(&url));
    }

    /// Passwords are hidden, paths are not.
    #[test]
    fn secrets_are_hidden() {
        assert_eq!(shown("redis://me:hunter2@host/0"), "redis://me:***@host/0");
        assert_eq!(shown("sqlite:/srv/a@b/x.db"), "sqlite:/srv/a@b/x.db");
    }
}
