//! What a server's own protocol says: how to log in, what a refusal means, how far the server has counted.

use std::fmt;

use serde_json::Value;
use tenure_base_net::secret::SecretString;

use crate::answer::Answer;
use crate::call::Call;

/// What [`Endpoints`](crate::Endpoints) have to know of their servers.
pub trait Protocol: fmt::Debug + Send + Sync + 'static {
    /// The server's name, for logs and errors.
    const NAME: &'static str;
    /// What stands before the token in the header `Authorization`, such as `Bearer`; empty where the token stands alone.
    const SCHEME: &'static str;

    /// What a token is asked for with: a path and a body. `None` where nobody logs in.
    fn login(&self) -> Option<(&str, Value)> {
        None
    }

    /// The token in the answer to that; `None` where the server gives out none, and wants none.
    fn token(&self, _answer: &Value) -> Option<SecretString> {
        None
    }

    /// Puts onto a call what each call of this protocol has, besides the token.
    fn complete(&self, call: Call) -> Call {
        call
    }

    /// What an answer means whose status is not one of 200 to 299.
    fn meaning(&self, answer: &Answer) -> Meaning;

    /// How far the server had counted when it gave this answer, where the answer tells.
    fn counted(&self, _answer: &Value) -> Option<Counted> {
        None
    }
}

/// What an answer that is none means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing was done, and no other server would do it.
    Refused,
    /// Nothing was done: the token has run out, or there was none. It may be sent again with another token.
    TokenRefused,
    /// There are no logins, and no tokens.
    NoLogins,
    /// Nothing was done, but another server may do it.
    Elsewhere,
    /// It may have been done.
    Unknown,
}

/// How far a server has counted the changes of its data. A number that is lower than one that was told before the question
/// means that the data are older ones, as after a restore, and another cluster that they are others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Which cluster.
    pub cluster: u64,
    /// Up to where.
    pub count: u64,
}
