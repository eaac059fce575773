//! Cuts a byte stream into lines.

use alloc::vec::Vec;

use memchr::memchr;

/// The longest line that is accepted, in bytes without its line end. Twitch's own limit is lower (8,191 bytes of tags);
/// the longest line seen in captured chat is under 2 KiB.
pub const LINE_LIMIT: usize = 16 * 1024;

/// One piece of the byte stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A line, without its line end; never empty.
    Line(&'a [u8]),
    /// The first [`LINE_LIMIT`] bytes of a line that is longer. The rest of it is skipped.
    TooLong(&'a [u8]),
}

/// Cuts a byte stream into lines at LF, with or without a CR before it, however the stream is split.
///
/// Holds at most [`LINE_LIMIT`] bytes and one CR of an unfinished line. Of a longer line only the beginning is
/// returned, once; the rest is skipped to its end. Every other byte passes, NUL and invalid UTF-8 too; empty lines are
/// not returned.
#[derive(Debug, Default)]
pub struct LineSplitter {
    /// The beginning of the unfinished line.
    partial: Vec<u8>,
    /// Whether the unfinished line is too long, so that the rest of it is skipped.
    skipping: bool,
    /// Whether `partial` was returned, so that the next call clears it.
    given: bool,
}

impl LineSplitter {
    /// A splitter at the start of a line.
    pub fn new() -> Self {
        LineSplitter::default()
    }

    /// How many bytes of an unfinished line are held; 0 if that line is too long.
    pub fn pending(&self) -> usize {
        if self.given { 0 } else { self.partial.len() }
    }

    /// Takes bytes from the front of `input` up to and including the next line end, and returns how many it took.
    /// Returns the line, or `None` if no line ended in `input`: then it took all of `input` and keeps it for the next
    /// call. A line that lies whole within `input` is not copied.
    ///
    /// ```
    /// use tenure_irc::Piece;
    ///
    /// let mut splitter = tenure_irc::LineSplitter::new();
    /// let (input, mut at) = (b"PING :a\r\nPING :b", 0);
    /// let (piece, taken) = splitter.take(&input[at..]);
    /// assert_eq!((piece, taken), (Some(Piece::Line(b"PING :a")), 9));
    /// at += taken;
    /// assert_eq!(splitter.take(&input[at..]), (None, 7));
    /// ```
    pub fn take<'a>(&'a mut self, input: &'a [u8]) -> (Option<Piece<'a>>, usize) {
        if self.given {
            self.given = false;
            self.partial.clear();
            self.partial.shrink_to(KEPT_CAPACITY);
        }
        let mut at = 0;
        while let Some(found) = memchr(b'\n', &input[at..]) {
            let piece = &input[at..at + found];
            at += found + 1;
            if self.skipping {
                self.skipping = false;
            } else if self.partial.is_empty() {
                match without_cr(piece) {
                    [] => {}
                    line if line.len() > LINE_LIMIT => return (Some(Piece::TooLong(&line[..LINE_LIMIT])), at),
                    line => return (Some(Piece::Line(line)), at),
                }
            } else {
                let whole = self.keep(piece);
                match without_cr(&self.partial).len() {
                    0 => self.partial.clear(),
                    length => {
                        self.given = true;
                        let fits = whole && length <= LINE_LIMIT;
                        let line = &self.partial[..length.min(LINE_LIMIT)];
                        return (Some(if fits { Piece::Line(line) } else { Piece::TooLong(line) }), at);
                    }
                }
            }
        }
        if !self.skipping && !self.keep(&input[at..]) {
            (self.skipping, self.given) = (true, true);
            return (Some(Piece::TooLong(&self.partial[..LINE_LIMIT])), input.len());
        }
        (None, input.len())
    }

    /// Adds a piece to the unfinished line, up to the length of a line and its CR; returns false if the piece is longer
    /// than that.
    fn keep(&mut self, piece: &[u8]) -> bool {
        let room = LINE_LIMIT + 1 - self.partial.len();
        let (kept, rest) = piece.split_at(piece.len().min(room));
        self.partial.extend_from_slice(kept);
        rest.is_empty()
    }
}

/// The capacity that an idle splitter keeps, so that a connection that once saw a long line does not keep its memory.
const KEPT_CAPACITY: usize = 1024;

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines, and the beginnings of those that were too long.
    fn lines(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let mut splitter = LineSplitter::new();
        let (mut lines, mut long) = (Vec::new(), Vec::new());
        for piece in pieces {
            let mut at = 0;
            loop {
                let (line, taken) = splitter.take(&piece[at..]);
                at += taken;
                match line {
                    Some(Piece::Line(line)) => lines.push(line.to_vec()),
                    Some(Piece::TooLong(start)) => long.push(start.to_vec()),
                    None => break,
                }
            }
            assert_eq!(at, piece.len());
            assert!(splitter.pending() <= LINE_LIMIT + 1);
        }
        (lines, long)
    }

    /// The lines do not depend on where the stream is cut, at any byte and with any two cuts.
    #[test]
    fn lines_are_the_same_however_the_stream_is_split() {
        let stream = b"PING :a\r\n\r\n@k=\xff\x00v :n PRIVMSG #c :lf only\nlone \r inside\r\r\n\n\x00\r\nunfinished";
        let whole = lines(&[stream]);
        let expected: [&[u8]; 4] = [b"PING :a", b"@k=\xff\x00v :n PRIVMSG #c :lf only", b"lone \r inside\r", b"\x00"];
        assert_eq!(whole.0, expected);
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let cut = [&stream[..first], &stream[first..second], &stream[second..]];
                assert_eq!(lines(&cut), whole, "cut at {first} and {second}");
            }
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(lines(&bytes), whole);
    }

    /// A line of exactly the limit passes; of one that is a byte longer the beginning is given, once, however the stream is
    /// cut; the lines around it survive.
    #[test]
    fn of_a_line_over_the_limit_the_beginning_is_given() {
        for (length, end, passes) in [
            (LINE_LIMIT, "\r\n", true),
            (LINE_LIMIT, "\n", true),
            (LINE_LIMIT + 1, "\n", false),
            (LINE_LIMIT + 1, "\r\n", false),
            (3 * LINE_LIMIT, "\r\n", false),
        ] {
            let mut stream = b"before\n".to_vec();
            stream.extend(core::iter::repeat_n(b'x', length));
            stream.extend_from_slice(end.as_bytes());
            stream.extend_from_slice(b"after\n");
            for piece in [1, 2, 7, LINE_LIMIT - 1, LINE_LIMIT, LINE_LIMIT + 1, LINE_LIMIT + 2, stream.len()] {
                let pieces: Vec<&[u8]> = stream.chunks(piece).collect();
                let (lines, long) = lines(&pieces);
                let expected = if passes { 0 } else { 1 };
                assert_eq!(long.len(), expected, "{length} {end:?} in pieces of {piece}");
                assert!(long.iter().all(|start| start.len() == LINE_LIMIT));
                assert_eq!(lines.len(), 3 - expected, "{length} {end:?} in pieces of {piece}");
                assert_eq!((&lines[0][..], &lines[lines.len() - 1][..]), (&b"before"[..], &b"after"[..]));
            }
        }
    }
}
