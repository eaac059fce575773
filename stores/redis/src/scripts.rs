//! The scripts: one per verb, each for a whole batch of one slot. Their texts are in `scripts/`.

use std::sync::LazyLock;

/// A script and the name that servers know it by once they have run it.
pub(crate) struct Script {
    /// Its text.
    pub(crate) text: String,
    /// The SHA1 of the text, in hexadecimal.
    pub(crate) sha: String,
    /// The text of what does the same for one lease that lies apart from its term record.
    pub(crate) apart: String,
}

/// Grants, extends or refuses; publishes what it granted anew.
pub(crate) static ACQUIRE: LazyLock<Script> = LazyLock::new(|| script(PUBLISH, include_str!("scripts/acquire.lua")));
/// Extends.
pub(crate) static RENEW: LazyLock<Script> = LazyLock::new(|| script("", include_str!("scripts/renew.lua")));
/// Frees and publishes.
pub(crate) static RELEASE: LazyLock<Script> = LazyLock::new(|| script(PUBLISH, include_str!("scripts/release.lua")));
/// Deletes by force and publishes.
pub(crate) static REMOVE: LazyLock<Script> = LazyLock::new(|| script(PUBLISH, include_str!("scripts/remove.lua")));
/// Notes that the holder is asked to resign.
pub(crate) static RESIGN: LazyLock<Script> = LazyLock::new(|| script("", include_str!("scripts/resign.lua")));
/// Reads.
pub(crate) static LIST: LazyLock<Script> = LazyLock::new(|| script("", include_str!("scripts/list.lua")));
/// Reads the last term of a key.
pub(crate) static TERM: LazyLock<Script> = LazyLock::new(|| script("", include_str!("scripts/term.lua")));
/// Reads a term record as it stands, or puts another in its place: for what lies apart from its lease.
pub(crate) const RECORD: &str = include_str!("scripts/record.lua");

const PRELUDE: &str = include_str!("scripts/prelude.lua");
const PUBLISH: &str = include_str!("scripts/publish.lua");
const APART: &str = include_str!("scripts/apart.lua");

/// `with` what a verb needs besides, and the verb itself.
fn script(with: &str, verb: &str) -> Script {
    let text = format!("{PRELUDE}\n{with}\n{verb}");
    let sha = redis::Script::new(&text).get_hash().to_owned();
    let apart =
        format!("{PRELUDE}\n{APART}\n{with}\nlocal function verb()\n{verb}\nend\nreturn apart.finished(verb())");
    Script { text, sha, apart }
}
