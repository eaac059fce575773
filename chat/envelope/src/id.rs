//! The ids of envelopes.

use core::fmt;

use sha1::{Digest, Sha1};

/// The namespace of envelope ids, `6e97fdbb-7ba2-4831-a84c-7d755134107e`; the schema states it too. It never changes,
/// because another namespace would give every message a new id.
pub const NAMESPACE: [u8; 16] =
    [0x6e, 0x97, 0xfd, 0xbb, 0x7b, 0xa2, 0x48, 0x31, 0xa8, 0x4c, 0x7d, 0x75, 0x51, 0x34, 0x10, 0x7e];

/// An envelope's id: a version 5 UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvelopeId(pub [u8; 16]);

impl EnvelopeId {
    /// Derives the version 5 UUID (RFC 9562, section 5.5) in [`NAMESPACE`] of the name that these parts form together.
    pub fn derive(name: &[&[u8]]) -> EnvelopeId {
        let mut hash = Sha1::new_with_prefix(NAMESPACE);
        for part in name {
            hash.update(part);
        }
        let hash: [u8; 20] = hash.finalize().into();
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        id[6] = id[6] & 0x0f | 0x50;
        id[8] = id[8] & 0x3f | 0x80;
        EnvelopeId(id)
    }

    /// Its 32 lowercase hex digits, without hyphens: the shape of a W3C trace id.
    pub(crate) fn hex(self) -> [u8; 32] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0; 32];
        for (pair, byte) in hex.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        }
        hex
    }
}

/// The hyphenated form of the digits that [`EnvelopeId::hex`] returns.
pub(crate) fn hyphenated(hex: &[u8; 32]) -> [u8; 36] {
    let mut text = [b'-'; 36];
    text[..8].copy_from_slice(&hex[..8]);
    text[9..13].copy_from_slice(&hex[8..12]);
    text[14..18].copy_from_slice(&hex[12..16]);
    text[19..23].copy_from_slice(&hex[16..20]);
    text[24..].copy_from_slice(&hex[20..]);
    text
}

impl fmt::Display for EnvelopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for EnvelopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    /// The text put into envelopes is the one that the id displays as.
    #[test]
    fn hyphenated_equals_display() {
        let id = EnvelopeId::derive(&[b"twitch:", b"x"]);
        assert_eq!(hyphenated(&id.hex()), id.to_string().as_bytes());
    }

    /// How a name is cut into parts makes no difference.
    #[test]
    fn parts_are_joined() {
        assert_eq!(EnvelopeId::derive(&[b"twitch:", b"x"]), EnvelopeId::derive(&[b"twitch:x"]));
    }
}
