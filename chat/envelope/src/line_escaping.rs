//! How the strings of one line must be escaped as JSON, by the part of the line that they come from.

use tenure_irc::Message;

use crate::json::Escaping;

/// The escaping of a line's strings, by the part of the line that they come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineEscaping {
    pub(crate) tags: Escaping,
    pub(crate) rest: Escaping,
    pub(crate) line: Escaping,
}

impl LineEscaping {
    /// Determines the escaping from the line's bytes.
    pub(crate) fn of(line: &Message<'_>) -> LineEscaping {
        let raw = line.raw();
        let utf8 = core::str::from_utf8(raw).is_ok();
        let section = line.tags().raw();
        // The section follows the line's first byte, where there is one.
        let rest = raw.get(section.len() + 1..).filter(|_| !section.is_empty()).unwrap_or(raw);
        let (tags, rest) = (Escaping::of(section, utf8), Escaping::of(rest, utf8));
        LineEscaping { tags, rest, line: tags.worse(rest) }
    }
}
