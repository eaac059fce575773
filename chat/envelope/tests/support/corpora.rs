//! The captured lines, where they are at hand.

use std::env;
use std::fs;
use std::path::PathBuf;

/// Every line of the corpora, in order; says on standard output that `suite` was skipped, and `None`, where they are
/// not at hand.
pub(crate) fn lines(suite: &str) -> Option<Vec<Vec<u8>>> {
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora");
    let folder = env::var_os("TENURE_CORPORA").map_or(default, PathBuf::from);
    let mut lines = Vec::new();
    for file in [
        "chatterino2/recentmessages-nymn.lines.txt",
        "chatterino2/snapshots-input.lines.txt",
        "tmi-rs/test-strings.lines.txt",
        "twitch-irc-rs/test-strings.lines.txt",
        "tmi.js/test-strings.lines.txt",
        "twitchchat/test-strings.lines.txt",
    ] {
        let Ok(content) = fs::read(folder.join(file)) else {
            println!("SKIPPED: {suite}: no {file} in the corpora, name their folder in TENURE_CORPORA");
            return None;
        };
        lines.extend(content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec));
    }
    Some(lines)
}
