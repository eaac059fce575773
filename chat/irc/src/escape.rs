//! The escapes of tag values (IRCv3 message tags).

use alloc::borrow::Cow;
use alloc::vec::Vec;

use memchr::memchr;

/// Resolves the escapes of a tag value: `\:` is `;`, `\s` a space, `\\` a backslash, `\r` and `\n` the line ends; any
/// other escaped byte stands for itself, and a lone backslash at the end is dropped. Copies only where there is a
/// backslash.
pub fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr(b'\\', raw) else { return Cow::Borrowed(raw) };
    let mut value = Vec::with_capacity(raw.len());
    let (plain, mut rest) = raw.split_at(first);
    value.extend_from_slice(plain);
    while let [_backslash, after @ ..] = rest {
        let [escaped, after @ ..] = after else { break };
        value.push(match escaped {
            b':' => b';',
            b's' => b' ',
            b'r' => b'\r',
            b'n' => b'\n',
            &other => other,
        });
        let (plain, next) = after.split_at(memchr(b'\\', after).unwrap_or(after.len()));
        value.extend_from_slice(plain);
        rest = next;
    }
    Cow::Owned(value)
}

/// Appends `value` to `out`, escaped as a tag value; [`unescape`] reverses it.
pub fn escape(value: &[u8], out: &mut Vec<u8>) {
    for &byte in value {
        match byte {
            b';' => out.extend_from_slice(b"\\:"),
            b' ' => out.extend_from_slice(b"\\s"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\n' => out.extend_from_slice(b"\\n"),
            other => out.push(other),
        }
    }
}
