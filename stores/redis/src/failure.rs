//! Failures: what a server's error, a lost connection or a wait that was too long mean for the one who asked.

use redis::{ErrorKind, RedisError};
use tenure_store::{StoreError, StoreErrorKind};

use crate::config::Address;

/// A failure that may belong to many items.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// What kind it is.
    pub(crate) kind: StoreErrorKind,
    /// What happened, where, and how to mend it.
    pub(crate) message: String,
}

/// A server's error reply, which always begins with a code.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// Its first word.
    pub(crate) code: String,
    /// The rest.
    pub(crate) detail: String,
}

/// What is said of a request that was not answered.
const PERHAPS_DONE: &str = "; it may have been done";

/// What a user without the rights that it needs is told.
const RIGHTS: &str = "; the user lacks a right: docs/stores.md has the ACL SETUSER rule with all that are needed";

impl Failure {
    /// A failure of this kind.
    pub(crate) fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Failure { kind, message: message.into() }
    }

    /// The server could not be reached or will not do it now; nothing was done.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Failure::new(StoreErrorKind::Unavailable, message)
    }

    /// The request was sent and its answer did not come.
    pub(crate) fn unanswered(place: &str, why: impl std::fmt::Display) -> Self {
        Failure::new(StoreErrorKind::TimedOut, format!("redis {place}: no answer: {why}{PERHAPS_DONE}"))
    }

    /// The same of a question, which changes nothing, whether it was heard or not.
    pub(crate) fn of_question(self) -> Self {
        match self.kind {
            StoreErrorKind::TimedOut => {
                Failure::unavailable(self.message.strip_suffix(PERHAPS_DONE).unwrap_or(&self.message))
            }
            _ => self,
        }
    }

    /// The same, with this said besides.
    pub(crate) fn and(mut self, words: &str) -> Self {
        self.message += words;
        self
    }

    /// For an item.
    pub(crate) fn error(&self) -> StoreError {
        StoreError::new(self.kind, self.message.clone())
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        StoreError::new(failure.kind, failure.message)
    }
}

impl Reply {
    /// The reply in a client's error; `None` where that is not a server's.
    pub(crate) fn of(error: &RedisError) -> Option<Reply> {
        let code = error.code().filter(|_| !matches!(error.kind(), ErrorKind::Io))?;
        Some(Reply { code: code.to_owned(), detail: error.detail().unwrap_or_default().to_owned() })
    }

    /// The reply in an error's text, as scripts catch it. Redis before 7.0 puts the script's line before what it refuses
    /// by itself: `@user_script: 12: -OOM ...`.
    pub(crate) fn from_text(text: &str) -> Reply {
        let line = text.strip_prefix("@user_script:").and_then(|rest| rest.split_once(": -"));
        let text = line.map_or(text, |(_, text)| text).trim_start_matches('-').trim_end();
        let (code, detail) = text.split_once(' ').unwrap_or((text, ""));
        Reply { code: code.to_owned(), detail: detail.to_owned() }
    }

    /// The node that MOVED and ASK of the node `here` send to. Where it has no name of its own it is on the same host.
    pub(crate) fn elsewhere(&self, here: &Address) -> Option<Address> {
        let address = self.detail.split_whitespace().nth(1)?;
        // IPv6 comes without brackets; the port stands behind the last colon.
        let (host, port) = address.rsplit_once(':')?;
        let host = match (host, here) {
            ("" | "?", Address::Tcp(here, _)) => here,
            ("" | "?", Address::Unix(_)) => return None,
            (host, _) => host.trim_matches(['[', ']']),
        };
        Some(Address::Tcp(host.to_owned(), port.parse().ok().filter(|port| *port != 0)?))
    }

    /// Whether the server is not, or not any longer, one that takes writes: look for another.
    pub(crate) fn is_no_master(&self) -> bool {
        matches!(self.code.as_str(), "READONLY" | "MASTERDOWN")
    }

    /// Whether the server does not know the command at all.
    pub(crate) fn is_unknown_command(&self) -> bool {
        self.code == "ERR" && self.detail.to_ascii_lowercase().contains("unknown command")
    }

    /// Whether the server has no database of that number.
    pub(crate) fn is_no_database(&self) -> bool {
        self.code == "ERR" && self.detail.contains("DB index is out of range")
    }

    /// What it means.
    pub(crate) fn failure(&self, place: &str) -> Failure {
        let Reply { code, detail } = self;
        let (kind, remedy) = match code.as_str() {
            "NOAUTH" => (StoreErrorKind::Denied, "; set TENURE_REDIS_PASSWORD, or TENURE_REDIS_PASSWORD_FILE"),
            "WRONGPASS" => (StoreErrorKind::Denied, "; see TENURE_REDIS_USER and TENURE_REDIS_PASSWORD"),
            "NOPERM" => (StoreErrorKind::Denied, RIGHTS),
            "DENIED" => (StoreErrorKind::Denied, "; set a password on the server, or see its protected-mode"),
            "READONLY" => (StoreErrorKind::Unavailable, "; it is a replica: name its master, or its Sentinels"),
            "OOM" => (
                StoreErrorKind::Unavailable,
                "; raise maxmemory or free memory: no new lease is granted before, leases that are held go on",
            ),
            "CLUSTERDOWN" => (
                StoreErrorKind::Unavailable,
                "; where other slots are the ones that nobody serves, cluster-require-full-coverage no lets the rest go on",
            ),
            "LOADING" | "BUSY" | "TRYAGAIN" | "MASTERDOWN" | "MISCONF" | "NOREPLICAS" | "MOVED" | "ASK" => {
                (StoreErrorKind::Unavailable, "")
            }
            "ERR" if detail.contains("max number of clients") => (StoreErrorKind::Unavailable, ""),
            "ERR" if self.is_unknown_command() => (StoreErrorKind::Unsupported, "; Redis 6.2 or newer is needed"),
            "ERR" if detail.contains("cluster support disabled") => {
                (StoreErrorKind::Invalid, "; it is no node of a cluster: write redis://HOST:PORT")
            }
            // In a script; versions word it differently.
            _ if detail.contains("user executing the script can't") || code == "ACL" || detail.starts_with("ACL ") => {
                (StoreErrorKind::Denied, RIGHTS)
            }
            // Of the leases themselves the scripts look at the type; the records of their terms can only be strings.
            _ if code == "WRONGTYPE" || detail.contains("WRONGTYPE") || detail.contains("CORRUPT") => (
                StoreErrorKind::Corrupt,
                "; the term record of this key cannot be read: see it with GET {KEY}:tenure, mend it with DEL",
            ),
            // A script that was broken off may have done a part.
            _ => (StoreErrorKind::TimedOut, ""),
        };
        Failure::new(kind, format!("redis {place}: {code} {detail}{remedy}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The node that is pointed to is read from its address, of either kind; one without a name is where it was asked.
    #[test]
    fn redirections_are_read() {
        let tcp = |host: &str, port| Address::Tcp(host.to_owned(), port);
        let to = |text: &str| Reply::from_text(text).elsewhere(&tcp("asked", 1));
        assert_eq!(to("MOVED 3999 127.0.0.1:6381"), Some(tcp("127.0.0.1", 6_381)));
        assert_eq!(to("ASK 3999 ::1:6381"), Some(tcp("::1", 6_381)));
        assert_eq!(to("ASK 3999 :6381"), Some(tcp("asked", 6_381)));
        assert_eq!(to("MOVED 3999 ?:6381"), Some(tcp("asked", 6_381)));
        for odd in ["MOVED", "MOVED 3999", "MOVED 3999 host", "MOVED 3999 host:0", "MOVED 3999 host:port"] {
            assert_eq!(to(odd), None, "{odd}");
        }
    }

    /// What may be tried again, what may have happened, and what needs somebody to mend it.
    #[test]
    fn replies_are_told_apart() {
        let kind = |text: &str| Reply::from_text(text).failure("h:1").kind;
        for text in ["LOADING Redis is loading", "READONLY You can't", "CLUSTERDOWN x", "-OOM command not allowed"] {
            assert_eq!(kind(text), StoreErrorKind::Unavailable, "{text}");
        }
        for text in [
            "NOAUTH Authentication required.",
            "DENIED Redis is running in protected mode",
            "NOPERM this user has no permissions to access one of the keys used as arguments",
            "ERR The user executing the script can't run this command or subcommand",
            "@user_script: 7: The user executing the script can't run this command or subcommand",
            "NOPERM ACL failure in script: User me has no permissions to run the 'set' command",
            "ACL failure in script: User me has no permissions to run the 'set' command",
        ] {
            assert_eq!(kind(text), StoreErrorKind::Denied, "{text}");
        }
        assert_eq!(kind("ERR unknown command 'EVALSHA'"), StoreErrorKind::Unsupported);
        assert_eq!(kind("ERR This instance has cluster support disabled"), StoreErrorKind::Invalid);
        assert_eq!(kind("user_script:20: CORRUPT"), StoreErrorKind::Corrupt);
        assert_eq!(kind("WRONGTYPE Operation against a key"), StoreErrorKind::Corrupt);
        assert_eq!(kind("ERR Error running script"), StoreErrorKind::TimedOut);
        assert!(Reply::from_text("READONLY x").is_no_master());
        assert_eq!(kind("@user_script: 52: -OOM command not allowed.\r\n"), StoreErrorKind::Unavailable);
        assert!(Reply::from_text("@user_script: 52: -READONLY You can't write.\r\n").is_no_master());
        assert_eq!(kind("@user_script: 44: CORRUPT"), StoreErrorKind::Corrupt);
    }
}
