//! The sender of a message.

use memchr::{memchr, memrchr};

/// The source of a message: `name[!user][@host]`, where the name is a nick or a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix<'a> {
    /// The whole source, without the leading colon.
    pub raw: &'a [u8],
    /// The nick, or the server's name where there is neither user nor host.
    pub name: &'a [u8],
    /// The user: the text after the first `!`.
    pub user: Option<&'a [u8]>,
    /// The host: the text after the last `@`.
    pub host: Option<&'a [u8]>,
}

impl<'a> Prefix<'a> {
    /// Splits a source into its parts. Total: any bytes give a prefix.
    #[inline]
    pub fn new(raw: &'a [u8]) -> Self {
        let (left, host) = match memrchr(b'@', raw) {
            Some(at) => (&raw[..at], Some(&raw[at + 1..])),
            None => (raw, None),
        };
        let (name, user) = match memchr(b'!', left) {
            Some(at) => (&left[..at], Some(&left[at + 1..])),
            None => (left, None),
        };
        Prefix { raw, name, user, host }
    }
}
