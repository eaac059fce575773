//! Errors: what a server's error reply, a lost connection or a wait that was too long mean for the caller.

use std::fmt::Display;

use redis::{ErrorKind, RedisError};
use tenure_store::{StoreError, StoreErrorKind};

use crate::address::Address;

/// A server's error reply: `-CODE DETAIL`.
#[derive(Clone, Debug)]
pub(crate) struct ErrorReply {
    /// Its first word, in capitals.
    pub(crate) code: String,
    /// The rest.
    pub(crate) detail: String,
}

/// What is said of a request that was not answered.
const PERHAPS_DONE: &str = "; it may have been done";

/// What a user without the rights that it needs is told.
const RIGHTS: &str = "; the user lacks a right: docs/stores.md has the ACL SETUSER rule with all that are needed";

/// The server could not be reached or refuses for now; nothing was done.
pub(crate) fn unavailable(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, message)
}

/// The configuration is wrong, or names a server of another kind; nothing was done.
pub(crate) fn invalid(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, message)
}

/// The request was sent and its answer did not come, or cannot be understood: it may have been done.
pub(crate) fn unanswered(server: impl Display, why: impl Display) -> StoreError {
    StoreError::new(StoreErrorKind::TimedOut, format!("redis {server}: no answer: {why}{PERHAPS_DONE}"))
}

/// An error of a request that only reads: nothing was done, whether the server got it or not.
pub(crate) fn for_read(error: StoreError) -> StoreError {
    if !error.is_outcome_unknown() {
        return error;
    }
    let message = error.to_string();
    unavailable(message.strip_suffix(PERHAPS_DONE).unwrap_or(&message))
}

/// The same error with this remark behind it.
pub(crate) fn with_remark(error: &StoreError, remark: &str) -> StoreError {
    StoreError::new(error.kind(), format!("{error}{remark}"))
}

impl ErrorReply {
    /// The error reply in a client's error; `None` where the error is not the server's.
    pub(crate) fn of(error: &RedisError) -> Option<ErrorReply> {
        let code = error.code().filter(|_| !matches!(error.kind(), ErrorKind::Io))?;
        Some(ErrorReply { code: code.to_owned(), detail: error.detail().unwrap_or_default().to_owned() })
    }

    /// The error reply in the text that a script's `pcall` returns. Redis before 7.0 puts the script's line in front of
    /// errors of its own: `@user_script: 12: -OOM ...`.
    pub(crate) fn from_text(text: &str) -> ErrorReply {
        let line = text.strip_prefix("@user_script:").and_then(|rest| rest.split_once(": -"));
        let text = line.map_or(text, |(_, text)| text).trim_start_matches('-').trim_end();
        let (code, detail) = text.split_once(' ').unwrap_or((text, ""));
        ErrorReply { code: code.to_owned(), detail: detail.to_owned() }
    }

    /// The node that MOVED or ASK names, answered by the node `here`. An empty host means the host that answered.
    pub(crate) fn redirected_to(&self, here: &Address) -> Option<Address> {
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

    /// Whether the server is a replica, which takes no writes: the master has to be looked up again.
    pub(crate) fn is_replica(&self) -> bool {
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

    /// What the reply means for the request that it answers.
    pub(crate) fn to_error(&self, server: &Address) -> StoreError {
        use StoreErrorKind::{Corrupt, Denied, Invalid, TimedOut, Unavailable, Unsupported};
        let ErrorReply { code, detail } = self;
        let (kind, remedy) = match code.as_str() {
            "NOAUTH" => (Denied, "; set TENURE_REDIS_PASSWORD, or TENURE_REDIS_PASSWORD_FILE"),
            "WRONGPASS" => (Denied, "; see TENURE_REDIS_USER and TENURE_REDIS_PASSWORD"),
            "NOPERM" => (Denied, RIGHTS),
            "DENIED" => (Denied, "; set a password on the server, or see its protected-mode"),
            "READONLY" => (Unavailable, "; it is a replica: name its master, or its Sentinels"),
            "OOM" => (
                Unavailable,
                "; raise maxmemory or free memory: no new lease is granted and no document written before, leases that are held go on",
            ),
            "CLUSTERDOWN" => (
                Unavailable,
                "; where other slots are the ones that nobody serves, cluster-require-full-coverage no lets the rest go on",
            ),
            "LOADING" | "BUSY" | "TRYAGAIN" | "MASTERDOWN" | "MISCONF" | "NOREPLICAS" | "MOVED" | "ASK" => {
                (Unavailable, "")
            }
            "ERR" if detail.contains("max number of clients") => (Unavailable, ""),
            "ERR" if self.is_unknown_command() => (Unsupported, "; Redis 6.2 or newer is needed"),
            "ERR" if detail.contains("cluster support disabled") => {
                (Invalid, "; it is no node of a cluster: write redis://HOST:PORT")
            }
            // An ACL rule refused a command inside a script; versions word it differently.
            _ if detail.contains("user executing the script can't") || code == "ACL" || detail.starts_with("ACL ") => {
                (Denied, RIGHTS)
            }
            // The scripts look at a lease's type themselves; only a term record is ever read without.
            _ if code == "WRONGTYPE" || detail.contains("WRONGTYPE") || detail.contains("CORRUPT") => (
                Corrupt,
                "; the term record of this key cannot be read: see it with GET {KEY}:tenure, mend it with DEL",
            ),
            // A script that failed in the middle may have done a part.
            _ => (TimedOut, ""),
        };
        StoreError::new(kind, format!("redis {server}: {code} {}{remedy}", detail.trim_end_matches('.')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The node that is pointed to is read from its address, of either kind; one without a name is where it was asked.
    #[test]
    fn redirections_are_read() {
        let tcp = |host: &str, port| Address::Tcp(host.to_owned(), port);
        let to = |text: &str| ErrorReply::from_text(text).redirected_to(&tcp("asked", 1));
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
        let kind = |text: &str| ErrorReply::from_text(text).to_error(&Address::Tcp("h".to_owned(), 1)).kind();
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
        assert!(ErrorReply::from_text("READONLY x").is_replica());
        assert_eq!(kind("@user_script: 52: -OOM command not allowed.\r\n"), StoreErrorKind::Unavailable);
        assert!(ErrorReply::from_text("@user_script: 52: -READONLY You can't write.\r\n").is_replica());
        assert_eq!(kind("@user_script: 44: CORRUPT"), StoreErrorKind::Corrupt);
    }
}
