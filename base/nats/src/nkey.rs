//! The key of an nkey's seed, which signs what a server asks.
//!
//! A seed is `S`, the kind of its key and 32 bytes, with a checksum, in base32; a public key the same without the `S`. The
//! library of that name would bring a second implementation of Ed25519 beside the one that TLS has anyhow.

use data_encoding::BASE32_NOPAD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

/// The five bits of the letter `S`.
const SEED: u8 = 18;
/// How many characters a seed has.
const SEED_LENGTH: usize = 58;

/// A key that can sign. It is never shown.
pub(crate) struct NKey {
    /// The five bits of the letter that the public key begins with, such as `U` for a user.
    kind: u8,
    pair: Ed25519KeyPair,
}

impl NKey {
    /// The key of a seed; `None` where this is no seed, be it for one wrong character.
    pub(crate) fn from_seed(seed: &str) -> Option<NKey> {
        if seed.len() != SEED_LENGTH {
            return None;
        }
        let bytes = BASE32_NOPAD.decode(seed.as_bytes()).ok()?;
        let (bytes, checksum) = bytes.split_last_chunk::<2>()?;
        if crc16(bytes) != u16::from_le_bytes(*checksum) {
            return None;
        }
        let ([first, second], key) = bytes.split_first_chunk::<2>()?;
        // Two letters of five bits each, and six bits that are not used.
        if first >> 3 != SEED {
            return None;
        }
        let kind = (first & 7) << 2 | second >> 6;
        Some(NKey { kind, pair: Ed25519KeyPair::from_seed_unchecked(key).ok()? })
    }

    /// The public key as text, such as `UDXU4RCS...`.
    pub(crate) fn public_key(&self) -> String {
        let mut bytes = vec![self.kind << 3];
        bytes.extend(self.pair.public_key().as_ref());
        bytes.extend(crc16(&bytes).to_le_bytes());
        BASE32_NOPAD.encode(&bytes)
    }

    /// The signature of a message.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte) << 8,
            |crc: u16, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 },
        )
    })
}

#[cfg(test)]
mod tests {
    use nkeys::KeyPair;

    use super::*;

    /// Keys and signatures are those of the library that the field uses, for keys of every kind.
    #[test]
    fn keys_and_signatures_are_the_fields() {
        for theirs in [KeyPair::new_user(), KeyPair::new_account(), KeyPair::new_operator(), KeyPair::new_server()] {
            let ours = NKey::from_seed(&theirs.seed().unwrap()).unwrap();
            assert_eq!(ours.public_key(), theirs.public_key());
            assert_eq!(ours.sign(b"nonce"), theirs.sign(b"nonce").unwrap());
            theirs.verify(b"nonce", &ours.sign(b"nonce")).unwrap();
        }
    }

    /// A seed with one wrong character is none, nor is a public key or another text.
    #[test]
    fn what_is_no_seed_is_refused() {
        let pair = KeyPair::new_user();
        let seed = pair.seed().unwrap();
        for at in 0..seed.len() {
            let mut slip = seed.clone().into_bytes();
            slip[at] = if slip[at] == b'A' { b'B' } else { b'A' };
            assert!(NKey::from_seed(std::str::from_utf8(&slip).unwrap()).is_none(), "{at}");
        }
        for text in [&pair.public_key(), &seed[1..], "", &"é".repeat(29), &seed.to_lowercase()] {
            assert!(NKey::from_seed(text).is_none(), "{text}");
        }
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }
}
