//! Why the simulator could not start or finish.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What failed, where, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// An address could not be listened on.
    #[error("cannot listen for {what} on {addr}: {source}; choose a free address, or port 0 for any")]
    Listen {
        /// Which listener.
        what: &'static str,
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The file to replay could not be read.
    #[error("cannot read the lines to replay from {}: {source}", path.display())]
    Replay {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {what} to {}: {source}", path.display())]
    Write {
        /// Which content.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate authority or the TLS server could not be made.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    /// The configuration contradicts itself.
    #[error("{0}")]
    Config(String),
    /// Standard output is gone, or signals cannot be received.
    #[error("the terminal failed: {0}")]
    Terminal(#[from] io::Error),
}
