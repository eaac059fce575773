//! The scripts: one per verb, each for a whole batch of one slot. Their texts are in `scripts/`.

use std::sync::LazyLock;

/// A verb's script.
pub(crate) struct Script {
    /// Its text.
    pub(crate) text: String,
    /// The SHA1 of the text, in hexadecimal: its name in the servers' script caches.
    pub(crate) sha: String,
    /// The text of a script that does the same for one lease whose term record may lie on another node.
    pub(crate) migrating: String,
}

/// Grants, extends or refuses; publishes what it granted anew.
pub(crate) static ACQUIRE: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/acquire.lua")));
/// Extends.
pub(crate) static RENEW: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/renew.lua")));
/// Frees and publishes.
pub(crate) static RELEASE: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/release.lua")));
/// Deletes by force and publishes.
pub(crate) static REMOVE: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/remove.lua")));
/// Notes that the holder is asked to resign.
pub(crate) static RESIGN: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/resign.lua")));
/// Reads leases.
pub(crate) static LIST: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/list.lua")));
/// Reads a key's last term.
pub(crate) static TERM: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/term.lua")));
/// Changes a document and publishes.
pub(crate) static DOCUMENT: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/document.lua")));
/// Reads documents.
pub(crate) static DOCUMENTS: LazyLock<Script> = LazyLock::new(|| script(include_str!("scripts/documents.lua")));
/// Reads a term record as it stands, or replaces it where it still stands so: for a slot that is being migrated.
pub(crate) const RECORD: &str = include_str!("scripts/record.lua");

const PRELUDE: &str = include_str!("scripts/prelude.lua");
const MIGRATING: &str = include_str!("scripts/migrating.lua");

/// The script of a verb, behind what all of them share.
fn script(verb: &str) -> Script {
    let text = format!("{PRELUDE}\n{verb}");
    let sha = redis::Script::new(&text).get_hash().to_owned();
    let migrating =
        format!("{PRELUDE}\n{MIGRATING}\nlocal function verb()\n{verb}\nend\nreturn migrating.finished(verb())");
    Script { text, sha, migrating }
}
