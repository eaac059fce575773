//! Why a reader cannot start.

use thiserror::Error;

/// What is wrong with a reader's configuration. Found before anything is connected, and never mended by waiting.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReaderError {
    /// The server's URL is none.
    #[error("the IRC URL is not ircs://host[:port], irc://host[:port], wss://host[:port][/path] or ws://...: {why}")]
    Url {
        /// What is wrong with it.
        why: String,
    },
    /// A channel's name is none.
    #[error("`{channel}` is no channel: give a login in lower case, of letters, digits and underscores, without #")]
    Channel {
        /// The name that was given.
        channel: String,
    },
    /// The account's login or token cannot be sent.
    #[error("the account's {what}: give the login name in lower case and an access token without spaces")]
    Credentials {
        /// Which of them, and how it is wrong; never the value.
        what: &'static str,
    },
    /// The CA file cannot be used, or the system has no CA certificates.
    #[error("the connection's {0}; install the system's CA certificates, or name your server's with --irc-ca")]
    Tls(#[from] tenure_base_net::tls::TlsError),
}
