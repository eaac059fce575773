//! The key that a command works on: the first word, or `--lease`.

use anyhow::{Result, anyhow};
use tenure_core::LeaseKey;

use crate::exit::Exit;
use crate::store;

/// A key that must be given.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct KeyArgs {
    /// Key of the lease
    #[arg(value_name = "KEY", value_parser = store::parse_key)]
    word: Option<LeaseKey>,
    /// Key of the lease, in place of the word
    #[arg(long, short = 'l', value_name = "KEY", value_parser = store::parse_key)]
    lease: Option<LeaseKey>,
}

impl KeyArgs {
    /// The key.
    pub(crate) fn key(&self) -> Result<&LeaseKey> {
        // The command line is refused where there is none.
        self.word.as_ref().or(self.lease.as_ref()).ok_or_else(|| Exit::usage(anyhow!("no key is given")))
    }
}
