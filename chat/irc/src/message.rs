//! Parses one line into one message of borrowed parts.
//!
//! Grammar: `['@' tags SPACE] [':' prefix SPACE] command [params]`, where SPACE is one or more spaces (RFC 1459) and
//! nothing but a space separates (a tab does not).

use memchr::memchr;

use crate::params::skip_spaces;
use crate::{Params, ParseError, ParseErrorKind, Prefix, Tags};

/// Parses one line, with or without its line end.
///
/// Total: any bytes give a message or an error with its position. It copies and allocates nothing, keeps the order of
/// the tags and the raw line, and looks at no byte of the text. Bytes that are no UTF-8, NUL and a line break inside
/// the line are ordinary bytes.
pub fn parse(line: &[u8]) -> Result<Message<'_>, ParseError> {
    let raw = without_line_end(line);
    let mut rest = raw;
    let mut missing = ParseErrorKind::Empty;

    let mut tags = 0;
    if let Some(section) = rest.strip_prefix(b"@") {
        missing = ParseErrorKind::TagsWithoutCommand;
        let (before, after) = split_at_space(section);
        (tags, rest) = (before.len(), after);
    } else if rest.first() == Some(&b' ') {
        return Err(ParseError { kind: ParseErrorKind::LeadingSpace, at: 0 });
    }

    let mut prefix = None;
    if let Some(section) = rest.strip_prefix(b":") {
        missing = ParseErrorKind::PrefixWithoutCommand;
        let (source, after) = split_at_space(section);
        prefix = Some(source);
        rest = after;
    }

    let (command, params) = rest.split_at(memchr(b' ', rest).unwrap_or(rest.len()));
    if command.is_empty() {
        return Err(ParseError { kind: missing, at: raw.len() - rest.len() });
    }
    Ok(Message { raw, tags, prefix, command, params })
}

/// One IRC message, borrowed from its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    raw: &'a [u8],
    /// The length of the tag section, without its `@`.
    tags: usize,
    prefix: Option<&'a [u8]>,
    command: &'a [u8],
    params: &'a [u8],
}

impl<'a> Message<'a> {
    /// The whole line, as it came, without its line end.
    #[inline]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The tags, in the line's order; empty where there are none.
    #[inline]
    pub fn tags(&self) -> Tags<'a> {
        // The section starts after the `@`. Without a section any empty slice will do.
        Tags::new(self.raw.get(1..).unwrap_or_default(), self.tags)
    }

    /// The sender; `None` where the line does not name one.
    #[inline]
    pub fn prefix(&self) -> Option<Prefix<'a>> {
        self.prefix.map(Prefix::new)
    }

    /// The command word or three-digit number, as it came; never empty.
    #[inline]
    pub fn command(&self) -> &'a [u8] {
        self.command
    }

    /// The parameters, in order.
    #[inline]
    pub fn params(&self) -> Params<'a> {
        Params::new(self.params)
    }

    /// The first parameter if it starts with `#`, with its `#`.
    #[inline]
    pub fn channel(&self) -> Option<&'a [u8]> {
        self.params().next().filter(|param| param.first() == Some(&b'#'))
    }

    /// The last parameter if it is written with a colon, without that colon.
    #[inline]
    pub fn trailing(&self) -> Option<&'a [u8]> {
        let mut params = self.params();
        loop {
            let colon = params.at_trailing();
            let param = params.next()?;
            if colon {
                return Some(param);
            }
        }
    }

    /// The last parameter, with or without a colon, unless it is the channel. In commands with a text it is that text:
    /// what was said in a PRIVMSG, the login in a CLEARCHAT, the sentence in a NOTICE.
    #[inline]
    pub fn text(&self) -> Option<&'a [u8]> {
        let mut params = self.params();
        let first = params.next()?;
        match params.last() {
            Some(last) => Some(last),
            None if first.first() == Some(&b'#') => None,
            None => Some(first),
        }
    }
}

#[inline]
fn without_line_end(line: &[u8]) -> &[u8] {
    let mut line = line;
    while let [rest @ .., b'\r' | b'\n'] = line {
        line = rest;
    }
    line
}

/// The bytes before the first space, and the bytes after the run of spaces that starts there. Without a space these are
/// all bytes, and none.
#[inline]
fn split_at_space(bytes: &[u8]) -> (&[u8], &[u8]) {
    match memchr(b' ', bytes) {
        Some(at) => {
            let (before, after) = bytes.split_at(at);
            (before, skip_spaces(after))
        }
        None => bytes.split_at(bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn refused(line: &[u8]) -> (ParseErrorKind, usize) {
        let error = parse(line).expect_err("the line is not a message");
        (error.kind, error.at)
    }

    /// Every reason to refuse a line, with the byte where the parser expected something else.
    #[test]
    fn lines_without_a_command_are_refused_with_the_place() {
        assert_eq!(refused(b""), (ParseErrorKind::Empty, 0));
        assert_eq!(refused(b"\r\n"), (ParseErrorKind::Empty, 0));
        assert_eq!(refused(b" PING"), (ParseErrorKind::LeadingSpace, 0));
        assert_eq!(refused(b"@"), (ParseErrorKind::TagsWithoutCommand, 1));
        assert_eq!(refused(b"@a=b"), (ParseErrorKind::TagsWithoutCommand, 4));
        assert_eq!(refused(b"@a=b  \r\n"), (ParseErrorKind::TagsWithoutCommand, 6));
        assert_eq!(refused(b":nick"), (ParseErrorKind::PrefixWithoutCommand, 5));
        assert_eq!(refused(b"@a=b :nick "), (ParseErrorKind::PrefixWithoutCommand, 11));
    }

    /// A chat line comes apart into its parts, each as it came.
    #[test]
    fn a_chat_line_comes_apart() {
        let line = b"@id=1;flags=;emote-only :ann!ann@ann.example PRIVMSG #room :hi : there \xff\x00\r\n";
        let message = parse(line).expect("a message");
        assert_eq!(message.raw(), &line[..line.len() - 2]);
        assert_eq!(message.tags().raw(), b"id=1;flags=;emote-only");
        assert_eq!(message.tags().map(|tag| tag.value).collect::<Vec<_>>(), [Some(&b"1"[..]), Some(b""), None]);
        let prefix = message.prefix().expect("a prefix");
        assert_eq!(
            (prefix.name, prefix.user, prefix.host),
            (&b"ann"[..], Some(&b"ann"[..]), Some(&b"ann.example"[..]))
        );
        assert_eq!(message.command(), b"PRIVMSG");
        assert_eq!(message.channel(), Some(&b"#room"[..]));
        assert_eq!(message.text(), Some(&b"hi : there \xff\x00"[..]));
        assert_eq!(message.trailing(), message.text());
    }

    /// The text is the last parameter however it is written, but never the channel; the trailing one needs its colon.
    #[test]
    fn the_text_is_the_last_parameter_unless_that_is_the_channel() {
        for (line, text, trailing) in [
            ("CLEARCHAT #room ann", Some("ann"), None),
            ("CLEARCHAT #room :ann", Some("ann"), Some("ann")),
            ("ROOMSTATE #room", None, None),
            ("JOIN :#room", None, Some("#room")),
            ("PRIVMSG #room :", Some(""), Some("")),
            ("PING :tmi.twitch.tv", Some("tmi.twitch.tv"), Some("tmi.twitch.tv")),
            ("CAP * ACK :a b", Some("a b"), Some("a b")),
            ("RECONNECT", None, None),
        ] {
            let message = parse(line.as_bytes()).expect("a message");
            assert_eq!(message.text(), text.map(str::as_bytes), "{line}");
            assert_eq!(message.trailing(), trailing.map(str::as_bytes), "{line}");
        }
    }
}
