//! Why a line is not a message.

use core::error::Error;
use core::fmt;

/// A line that is not an IRC message: what is wrong, and at which byte of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// The byte offset where the parser expected something else; never beyond the line's length.
    pub at: usize,
}

/// What can be wrong with a line. Every other sequence of bytes is a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// The line is empty.
    Empty,
    /// The line starts with a space, where tags, a prefix or a command must be.
    LeadingSpace,
    /// The line ends in or after its tags.
    TagsWithoutCommand,
    /// The line ends in or after its prefix.
    PrefixWithoutCommand,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ParseErrorKind::Empty => "the line is empty",
            ParseErrorKind::LeadingSpace => "the line starts with a space",
            ParseErrorKind::TagsWithoutCommand => "no command follows the tags",
            ParseErrorKind::PrefixWithoutCommand => "no command follows the prefix",
        };
        write!(f, "{what} (byte {})", self.at)
    }
}

impl Error for ParseError {}
