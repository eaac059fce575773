//! What is shown of a store's or a bus's URL: all but its password.

use tenure_base_net::disclosure::{self, Schemes};

/// The URL with `***` for its password; see [`disclosure::without_secrets`].
pub(crate) fn without_secrets(url: &str) -> String {
    disclosure::without_secrets(url, Schemes { paths: &["sqlite"], tokens: &["nats", "tls"] })
}
