//! The key that a command works on: the first word, or `--lease`.

use tenure_core::LeaseKey;

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
    /// The key; `None` only where clap was told that it may be left out.
    pub(crate) fn key(self) -> Option<LeaseKey> {
        self.word.or(self.lease)
    }
}
