//! Which care the strings of one line need on their way into JSON.

use tenure_irc::Message;

use crate::json::Care;

/// What the strings of a line need, by the part of it that they come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineCare {
    pub(crate) tags: Care,
    pub(crate) rest: Care,
    pub(crate) line: Care,
}

impl LineCare {
    /// What the line's bytes ask for.
    pub(crate) fn of(line: &Message<'_>) -> LineCare {
        let raw = line.raw();
        let utf8 = core::str::from_utf8(raw).is_ok();
        let section = line.tags().raw();
        // The section follows the line's first byte, where there is one.
        let rest = raw.get(section.len() + 1..).filter(|_| !section.is_empty()).unwrap_or(raw);
        let (tags, rest) = (Care::of(section, utf8), Care::of(rest, utf8));
        LineCare { tags, rest, line: tags.worse(rest) }
    }
}
