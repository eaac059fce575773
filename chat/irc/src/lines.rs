//! A byte stream cut into lines.

use alloc::vec::Vec;

use memchr::memchr;

/// The longest line that is taken, in bytes without its line end. Twitch's own limit is lower (8,191 bytes of tags);
/// the longest line seen in captured chat is under 2 KiB.
pub const LINE_LIMIT: usize = 16 * 1024;

/// Cuts a byte stream into lines at LF, with or without a CR before it, however the stream is split.
///
/// Holds at most [`LINE_LIMIT`] bytes and one CR of an unfinished line. A longer line is skipped to its end and
/// counted. Every other byte passes, NUL and invalid UTF-8 too; empty lines are not given out.
#[derive(Debug, Default)]
pub struct LineSplitter {
    /// The start of a line whose end has not come.
    partial: Vec<u8>,
    /// Whether the line that is coming has been given up as too long.
    skipping: bool,
    /// Whether `partial` is a line that was given out and is to be forgotten.
    given: bool,
    skipped: u64,
}

impl LineSplitter {
    /// A splitter at the start of a line.
    pub fn new() -> Self {
        LineSplitter::default()
    }

    /// How many lines were skipped because they were too long.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The bytes held of an unfinished line.
    pub fn pending(&self) -> usize {
        if self.given { 0 } else { self.partial.len() }
    }

    /// Takes bytes from the front of `input` up to and with the next line end, and says how many it took. Gives the
    /// line, or `None` when it took all of `input` and no line ended in it: then the rest is kept for the next call.
    /// A line that lies whole within `input` is not copied.
    ///
    /// ```
    /// let mut splitter = tenure_irc::LineSplitter::new();
    /// let (input, mut at) = (b"PING :a\r\nPING :b", 0);
    /// let (line, taken) = splitter.take(&input[at..]);
    /// assert_eq!((line, taken), (Some(&b"PING :a"[..]), 9));
    /// at += taken;
    /// assert_eq!(splitter.take(&input[at..]), (None, 7));
    /// ```
    pub fn take<'a>(&'a mut self, input: &'a [u8]) -> (Option<&'a [u8]>, usize) {
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
                let line = without_cr(piece);
                if line.len() > LINE_LIMIT {
                    self.skipped += 1;
                } else if !line.is_empty() {
                    return (Some(line), at);
                }
            } else if self.keep(piece) {
                let length = without_cr(&self.partial).len();
                if length > LINE_LIMIT {
                    self.skipped += 1;
                    self.partial.clear();
                } else if length == 0 {
                    self.partial.clear();
                } else {
                    self.given = true;
                    return (Some(&self.partial[..length]), at);
                }
            } else {
                // The line became too long with its last piece, which is also its end.
                self.skipping = false;
            }
        }
        if !self.skipping {
            self.keep(&input[at..]);
        }
        (None, input.len())
    }

    /// Adds a piece to the unfinished line; false if that made it too long, which also starts the skipping.
    fn keep(&mut self, piece: &[u8]) -> bool {
        if self.partial.len() + piece.len() <= LINE_LIMIT + 1 {
            self.partial.extend_from_slice(piece);
            return true;
        }
        self.partial = Vec::new();
        self.skipping = true;
        self.skipped += 1;
        false
    }
}

/// What an idle splitter holds on to, so that a connection that once saw a long line does not keep its memory.
const KEPT_CAPACITY: usize = 1024;

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, u64) {
        let mut splitter = LineSplitter::new();
        let mut lines = Vec::new();
        for piece in pieces {
            let mut at = 0;
            loop {
                let (line, taken) = splitter.take(&piece[at..]);
                at += taken;
                let Some(line) = line else { break };
                lines.push(line.to_vec());
            }
            assert_eq!(at, piece.len());
            assert!(splitter.pending() <= LINE_LIMIT + 1);
        }
        (lines, splitter.skipped())
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

    /// A line of exactly the limit passes, one byte more is skipped and counted once; the lines around it survive.
    #[test]
    fn a_line_over_the_limit_is_skipped_and_counted() {
        for (length, end, passes) in [
            (LINE_LIMIT, "\r\n", true),
            (LINE_LIMIT, "\n", true),
            (LINE_LIMIT + 1, "\n", false),
            (3 * LINE_LIMIT, "\r\n", false),
        ] {
            let mut stream = b"before\n".to_vec();
            stream.extend(core::iter::repeat_n(b'x', length));
            stream.extend_from_slice(end.as_bytes());
            stream.extend_from_slice(b"after\n");
            for piece in [1, 2, 7, LINE_LIMIT - 1, LINE_LIMIT, LINE_LIMIT + 1, LINE_LIMIT + 2, stream.len()] {
                let pieces: Vec<&[u8]> = stream.chunks(piece).collect();
                let (lines, skipped) = lines(&pieces);
                assert_eq!(skipped, u64::from(!passes), "{length} {end:?} in pieces of {piece}");
                assert_eq!(lines.len(), if passes { 3 } else { 2 }, "{length} {end:?} in pieces of {piece}");
                assert_eq!((&lines[0][..], &lines[lines.len() - 1][..]), (&b"before"[..], &b"after"[..]));
            }
        }
    }
}
