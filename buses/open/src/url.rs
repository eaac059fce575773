//! What a bus's URL says before it is opened: whether the bus is a file, and which parts may be shown.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tenure_base_net::disclosure::{Schemes, without_secrets};
use tenure_base_net::file_url::{self, FileUrl};

use crate::scheme::{self, FILE, NATS, STANDARD_OUTPUT};

/// The file that the URL names; `None` where the bus is not a file.
pub fn file_of(url: &str) -> Option<PathBuf> {
    FileUrl::parse(url, FILE).map(|url| url.path.into())
}

/// The file that the URL names, if it is missing or empty.
pub fn missing_file(url: &str) -> Option<PathBuf> {
    file_of(url).filter(|path| match path.metadata() {
        Ok(found) => found.is_file() && found.len() == 0,
        Err(error) => error.kind() == ErrorKind::NotFound,
    })
}

/// The URL of the bus in the file at this path.
pub fn file_url(path: &Path) -> String {
    file_url::url_of(FILE, path)
}

/// Whether the bus is the standard output of the process that opens it: no other process can publish to it or read it
/// back.
pub fn is_standard_output(url: &str) -> bool {
    scheme::of(url).is_some_and(|scheme| scheme.name == STANDARD_OUTPUT)
}

/// The URL with `***` for what may be a secret. Works on the text alone, even where the URL is wrong.
pub fn shown(url: &str) -> String {
    without_secrets(url, Schemes { paths: &[FILE], tokens: &[NATS, "tls"] })
}

/// The URL of a part of the bus for the caller alone, if buses of its kind have such parts and the URL names none: for
/// NATS a stream of this name. Every other URL stays as it is.
pub fn apart(url: &str, name: &str) -> String {
    if scheme::of(url).is_none_or(|scheme| scheme.name != NATS) || url.contains("stream=") {
        return url.to_owned();
    }
    // A password may hold a `?` too, so only a `?` behind the last `@` begins the parameters.
    let hosts = url.rsplit_once('@').map_or(url, |(_, hosts)| hosts);
    let mark = if hosts.contains('?') { '&' } else { '?' };
    format!("{url}{mark}stream={name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only a `sqlite:` URL names a file; the file is missing where it does not exist or is empty.
    #[test]
    fn a_missing_file_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.db");
        let url = file_url(&path);
        assert_eq!(missing_file(&url), Some(path.clone()));
        std::fs::write(&path, "").unwrap();
        assert_eq!(missing_file(&url), Some(path.clone()));
        std::fs::write(&path, "x").unwrap();
        assert_eq!((file_of(&url), missing_file(&url)), (Some(path), None));
        assert_eq!((file_of("nats://h"), file_of("stdout:")), (None, None));
    }

    /// A stream is named where the URL leaves that open, behind the parameters that are there.
    #[test]
    fn a_bus_is_set_apart() {
        for (url, own) in [
            ("nats://h", "nats://h?stream=S"),
            ("tls://me:what?@h?domain=x", "tls://me:what?@h?domain=x&stream=S"),
            ("nats://me:what?@h", "nats://me:what?@h?stream=S"),
            ("nats://h?stream=T", "nats://h?stream=T"),
            ("sqlite:x.db", "sqlite:x.db"),
            ("stdout:", "stdout:"),
        ] {
            assert_eq!(apart(url, "S"), own);
        }
    }

    /// A lone name before the `@` is a token to NATS; a path is shown whole.
    #[test]
    fn secrets_are_hidden() {
        assert_eq!(shown("nats://hunter2@host"), "nats://***@host");
        assert_eq!(shown("tls://me:hunter2@host"), "tls://me:***@host");
        assert_eq!(shown("sqlite:/srv/a@b/x.db"), "sqlite:/srv/a@b/x.db");
        assert!(is_standard_output("stdout:") && !is_standard_output("sqlite:x.db"));
    }
}
