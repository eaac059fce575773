//! Parses as much of IRC as routing and checking a line need: tags, command, parameters.
//!
//! The simulator and its checker share no code with the daemon that they judge, so this is not `tenure-irc`.

/// The parts of one line, all borrowed from it. Parsing never fails: a missing part is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// The tags without the `@`.
    pub(crate) tags: &'a [u8],
    /// Where the body begins, behind the tags.
    pub(crate) body_at: usize,
    /// The command as written.
    pub(crate) command: &'a [u8],
    /// What follows the command, without the space.
    pub(crate) rest: &'a [u8],
}

impl<'a> Line<'a> {
    /// Splits a line that has no line end.
    pub(crate) fn split(line: &'a [u8]) -> Line<'a> {
        let (mut tags, mut at) = (&line[..0], 0);
        if line.first() == Some(&b'@') {
            let end = find(line, b' ', 0);
            tags = &line[1..end];
            at = skip_spaces(line, end);
        }
        let body_at = at;
        if line.get(at) == Some(&b':') {
            at = skip_spaces(line, find(line, b' ', at));
        }
        let end = find(line, b' ', at);
        Line { tags, body_at, command: &line[at..end], rest: &line[skip_spaces(line, end)..] }
    }

    /// The raw value of a tag, the first where it is repeated; `None` where it is absent.
    pub(crate) fn tag(&self, key: &[u8]) -> Option<&'a [u8]> {
        tag_pairs(self.tags).find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// The parameters in order, the last one without its colon.
    pub(crate) fn params(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.rest;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            if rest[0] == b':' {
                let last = &rest[1..];
                rest = &[];
                return Some(last);
            }
            let end = find(rest, b' ', 0);
            let param = &rest[..end];
            rest = &rest[skip_spaces(rest, end)..];
            Some(param)
        })
    }

    /// The room of the line without its `#`: the first parameter that names one.
    pub(crate) fn channel(&self) -> Option<&'a [u8]> {
        self.params().next().filter(|param| param.len() > 1 && param[0] == b'#').map(|param| &param[1..])
    }

    /// The `id` tag, if it is present and not empty.
    pub(crate) fn id(&self) -> Option<&'a [u8]> {
        self.tag(b"id").filter(|id| !id.is_empty())
    }

    /// The text of a message: the parameter after the room, without the wrapper of an ACTION.
    pub(crate) fn text(&self) -> Option<&'a [u8]> {
        let text = self.params().nth(1)?;
        match text.strip_prefix(b"\x01ACTION ") {
            Some(action) => Some(action.strip_suffix(b"\x01").unwrap_or(action)),
            None => Some(text),
        }
    }
}

fn tag_pairs(tags: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    tags.split(|byte| *byte == b';').map(|pair| match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, &pair[pair.len()..]),
    })
}

fn find(line: &[u8], byte: u8, from: usize) -> usize {
    line[from..].iter().position(|other| *other == byte).map_or(line.len(), |at| from + at)
}

fn skip_spaces(line: &[u8], from: usize) -> usize {
    line[from..].iter().position(|byte| *byte != b' ').map_or(line.len(), |at| from + at)
}

/// Appends a tag value, escaped as IRCv3 message tags ask.
pub(crate) fn push_escaped(out: &mut Vec<u8>, value: &[u8]) {
    for byte in value {
        match byte {
            b';' => out.extend_from_slice(b"\\:"),
            b' ' => out.extend_from_slice(b"\\s"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\n' => out.extend_from_slice(b"\\n"),
            other => out.push(*other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tags, channel, id and text come out of a common line, with and without the colon.
    #[test]
    fn a_message_splits_into_its_parts() {
        let line = Line::split(b"@badges=;id=a-1;x :u!u@u.tmi.twitch.tv PRIVMSG #room :hi there");
        assert_eq!(line.command, b"PRIVMSG");
        assert_eq!(line.channel(), Some(&b"room"[..]));
        assert_eq!(line.id(), Some(&b"a-1"[..]));
        assert_eq!(line.tag(b"x"), Some(&b""[..]));
        assert_eq!(line.tag(b"d"), None);
        assert_eq!(line.text(), Some(&b"hi there"[..]));
        assert_eq!(Line::split(b":u PRIVMSG #room word").text(), Some(&b"word"[..]));
        assert_eq!(Line::split(b"PRIVMSG #room :\x01ACTION waves\x01").text(), Some(&b"waves"[..]));
    }

    /// Junk splits without a panic and names no channel.
    #[test]
    fn junk_names_no_channel() {
        for junk in
            [&b""[..], b"@", b"@ ", b":", b": ", b"@a=b", b"PING", b"PING :x", b" ", b"JOIN #", b"\xff\xfe \x00"]
        {
            assert_eq!(Line::split(junk).channel(), None, "{junk:?}");
        }
    }
}
