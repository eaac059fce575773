//! The parameters of a message.

use memchr::memchr;

/// The parameters of a message, in order. A last parameter that is written with a colon may be empty and may hold
/// spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params<'a> {
    rest: &'a [u8],
}

impl<'a> Params<'a> {
    /// `rest` is what follows the command: empty, or starting with a space.
    #[inline]
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Params { rest: skip_spaces(rest) }
    }

    /// Whether the next parameter is written with a colon.
    #[inline]
    pub(crate) fn at_trailing(&self) -> bool {
        self.rest.first() == Some(&b':')
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        match self.rest {
            [] => None,
            [b':', trailing @ ..] => {
                self.rest = &[];
                Some(trailing)
            }
            _ => {
                let at = memchr(b' ', self.rest).unwrap_or(self.rest.len());
                let (param, rest) = self.rest.split_at(at);
                self.rest = skip_spaces(rest);
                Some(param)
            }
        }
    }
}

impl core::iter::FusedIterator for Params<'_> {}

/// The bytes after the run of spaces at the beginning.
#[inline]
pub(crate) fn skip_spaces(bytes: &[u8]) -> &[u8] {
    let mut bytes = bytes;
    while let [b' ', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}
