//! The store that `tenure run` hands to its command, so that every `tenure` command in it asks the same one.
//!
//! `TENURE_STORE` is the store's URL without user and password, because every process of this user can read the
//! environment. The login stands in a file beside the status file, which `TENURE_STORE_SECRET_FILE` names: first the
//! login as it stood in the URL (`USER:PASSWORD`), then on a second line the URL that it belongs to. It is used for no
//! other URL.

use std::path::Path;

/// The variable that names the file.
pub(crate) const SECRET_FILE: &str = "TENURE_STORE_SECRET_FILE";
/// The variable that has the URL.
pub(crate) const STORE: &str = "TENURE_STORE";

/// The URL that a command gets in place of one that must not be handed on. No store has this scheme: a command that
/// opens it gets an error and does not ask another store by mistake.
const WITHHELD: &str = "withheld:";

/// Returns the URL without its login, for a command that cannot be given the file with the login.
pub(crate) fn without_login(url: &str) -> String {
    CommandStore::new(url).map_or_else(|| WITHHELD.to_owned(), |command_store| command_store.url)
}

/// A store as a command gets it: the URL without login, and the login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandStore {
    /// The URL without its login, safe to show.
    pub(crate) url: String,
    /// The login: the text before the `@`.
    pub(crate) login: Option<String>,
}

impl CommandStore {
    /// Splits the URL of a store that was opened. Returns `None` where the URL holds a secret that is no login, or
    /// where login and parameters cannot be told apart: such a URL is not handed on. The path of a file becomes
    /// absolute, because commands change their folder.
    pub(crate) fn new(url: &str) -> Option<CommandStore> {
        match tenure_open::absolute(url) {
            Some(url) => return Some(CommandStore { url, login: None }),
            None if tenure_open::file_of(url).is_some() => return None,
            None => {}
        }
        let (scheme, rest) = url.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, _)) if login.contains('\n') => return None,
            Some((login, hosts)) => (Some(login.to_owned()), hosts),
            // A login with a `/` or `?` in it cannot be told apart from a path.
            None if !authority.is_empty() && path.split('?').next().is_some_and(|path| path.contains('@')) => {
                return None;
            }
            None => (None, authority),
        };
        let url = format!("{scheme}://{hosts}{path}");
        (tenure_open::shown(&url) == url).then_some(CommandStore { url, login })
    }

    /// The content of the secret file; `None` where there is no login.
    pub(crate) fn secret(&self) -> Option<String> {
        self.login.as_ref().map(|login| format!("{login}\n{}\n", self.url))
    }
}

/// Adds to the URL the login that this process was handed for it, if any.
pub(crate) fn with_login(url: String) -> String {
    let file = std::env::var_os(SECRET_FILE).filter(|file| !file.is_empty());
    match file.and_then(|file| std::fs::read_to_string(Path::new(&file)).ok()) {
        Some(secret) => complete(&url, &secret).unwrap_or(url),
        None => url,
    }
}

fn complete(url: &str, secret: &str) -> Option<String> {
    let (login, of) = secret.split_once('\n')?;
    let (scheme, rest) = url.split_once("://")?;
    (of.trim_end() == url && !login.is_empty()).then(|| format!("{scheme}://{login}@{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A URL without its login, completed with that login, is the original URL; without it, it holds no secret.
    #[test]
    fn what_is_handed_on_is_completed_again() {
        for url in [
            "redis://me:hun%40ter2@host:6379/0?timeout_ms=5",
            "redis://:pw@h",
            "redis://h/3",
            "rediss://me@a,b/m",
            "redis://:a#b@h",
        ] {
            let command_store = CommandStore::new(url).unwrap();
            assert!(!command_store.url.contains('@'), "{command_store:?}");
            let secret = command_store.secret();
            let again =
                secret.map_or(command_store.url.clone(), |secret| complete(&command_store.url, &secret).unwrap());
            assert_eq!(again, url);
        }
    }

    /// A login is for its own store alone.
    #[test]
    fn a_login_is_given_to_no_other_store() {
        let secret = CommandStore::new("redis://me:hunter2@one/0").unwrap().secret().unwrap();
        for other in ["redis://two/0", "redis://one/1", "rediss://one/0", "sqlite:/x", ""] {
            assert_eq!(complete(other, &secret), None, "{other}");
        }
        assert_eq!(complete("redis://one/0", ""), None);
    }

    /// A file is named by its absolute path, and a URL with a possible secret outside the login is not handed on.
    #[test]
    fn files_are_absolute_and_odd_secrets_stay() {
        let cluster = CommandStore::new("kubernetes:team-a?context=c").unwrap();
        assert_eq!((cluster.url.as_str(), cluster.login), ("kubernetes:team-a?context=c", None));
        let here = std::env::current_dir().unwrap();
        for (url, path) in [("sqlite:x.db", "x.db"), ("sqlite:a/x.db?poll_ms=5", "a/x.db?poll_ms=5")] {
            assert_eq!(CommandStore::new(url).unwrap().url, format!("sqlite:{}", here.join(path).display()));
        }
        assert_eq!(CommandStore::new("sqlite:///v/x.db").unwrap().url, "sqlite:/v/x.db");
        assert_eq!(CommandStore::new("redis+unix:///run/a@b?db=1").unwrap().login, None);
        for odd in ["redis://h/0?password=x", "redis://me:a/b@h", "redis://me:a?b=c@h", "redis:me@h"] {
            assert_eq!(CommandStore::new(odd), None, "{odd}");
            assert_eq!(without_login(odd), WITHHELD);
        }
    }
}
