//! The names of things: keys, prefixes, holders, nonces, notes. Each is checked once, where it is made.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::str::FromStr;

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// The name is empty.
    Empty(&'static str),
    /// The name has more bytes than its kind allows.
    TooLong {
        /// Which name: "key", "holder", "note".
        what: &'static str,
        /// Its bytes.
        bytes: usize,
        /// The most that is allowed.
        most: usize,
    },
    /// The name has a control character at this byte.
    Control {
        /// Which name: "key", "holder".
        what: &'static str,
        /// The byte offset of the character.
        at: usize,
    },
    /// A nonce is 32 hexadecimal digits.
    Nonce,
    /// So many slots; at least one is needed, and no more than `most` are allowed.
    Slots {
        /// How many were asked for.
        count: u32,
        /// The most that is allowed.
        most: u32,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty(what) => write!(f, "the {what} is empty"),
            NameError::TooLong { what, bytes, most } => {
                write!(f, "the {what} has {bytes} bytes; at most {most} are allowed")
            }
            NameError::Control { what, at } => write!(f, "the {what} has a control character at byte {at}"),
            NameError::Slots { count, most } => write!(f, "{count} slots; from 1 to {most} are allowed"),
            NameError::Nonce => f.write_str("a nonce is 32 hexadecimal digits"),
        }
    }
}

impl core::error::Error for NameError {}

fn check(what: &'static str, text: &str, most: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty(what));
    }
    if text.len() > most {
        return Err(NameError::TooLong { what, bytes: text.len(), most });
    }
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => Err(NameError::Control { what, at }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $most:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The most bytes that such a name may have.
            pub const MAX_BYTES: usize = $most;

            /// Checks and takes the name; see [`NameError`] for what is refused.
            pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
                let text = text.as_ref();
                check($what, text, Self::MAX_BYTES)?;
                Ok(Self(Arc::from(text)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }
    };
}

name! {
    /// What a lease is for: 1 to 512 bytes of UTF-8 without control characters.
    LeaseKey, "key", 512
}
name! {
    /// Who holds a lease, for people to read. Uniqueness is the [`Nonce`]'s business, not this name's.
    HolderId, "holder", 256
}

/// The beginning of keys; the empty prefix matches every key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct KeyPrefix(String);

impl KeyPrefix {
    /// The prefix `text`: at most 512 bytes without control characters; may be empty.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        if !text.is_empty() {
            check("prefix", &text, LeaseKey::MAX_BYTES)?;
        }
        Ok(KeyPrefix(text))
    }

    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `key` begins with this prefix.
    pub fn matches(&self, key: &LeaseKey) -> bool {
        key.as_str().starts_with(&self.0)
    }
}

impl From<&LeaseKey> for KeyPrefix {
    /// The prefix that matches `key` (and every longer key that begins like it).
    fn from(key: &LeaseKey) -> Self {
        KeyPrefix(String::from(key.as_str()))
    }
}

/// Tells one campaign of one process from every other, so that a claim whose reply was lost can be repeated safely.
///
/// `process` is drawn at random once per process start; `campaign` counts the campaigns of that process. Written as 32
/// hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce {
    /// Random, once per process start.
    pub process: u64,
    /// Counts this process's campaigns, from 1.
    pub campaign: u64,
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.process, self.campaign)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({self})")
    }
}

impl FromStr for Nonce {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NameError::Nonce);
        }
        let half = |part: &str| u64::from_str_radix(part, 16).map_err(|_| NameError::Nonce);
        Ok(Nonce { process: half(&text[..16])?, campaign: half(&text[16..])? })
    }
}

/// Small data written together with the lease, for observers and for the next holder. Empty by default.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Note(Arc<str>);

impl Note {
    /// The most bytes that a note may have.
    pub const MAX_BYTES: usize = 16 * 1024;

    /// The note `text`, refused only where it is too long.
    pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
        let text = text.as_ref();
        if text.len() > Self::MAX_BYTES {
            return Err(NameError::TooLong { what: "note", bytes: text.len(), most: Self::MAX_BYTES });
        }
        Ok(Note(Arc::from(text)))
    }

    /// The note as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl AsRef<str> for Note {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Default for Note {
    fn default() -> Self {
        Note(Arc::from(""))
    }
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// Keys are 1 to 512 bytes without control characters, and the error says where.
    #[test]
    fn keys_are_checked() {
        assert!(LeaseKey::new("system/ircLeader").is_ok());
        assert_eq!(LeaseKey::new(""), Err(NameError::Empty("key")));
        assert_eq!(LeaseKey::new("a\nb"), Err(NameError::Control { what: "key", at: 1 }));
        assert!(LeaseKey::new("é".repeat(256)).is_ok());
        assert!(LeaseKey::new("é".repeat(257)).is_err());
    }

    /// A nonce reads back what it writes, and nothing else.
    #[test]
    fn nonces_round_trip() {
        let nonce = Nonce { process: 0xdead_beef, campaign: 3 };
        assert_eq!(nonce.to_string().parse(), Ok(nonce));
        assert_eq!("+1".parse::<Nonce>(), Err(NameError::Nonce));
        assert_eq!("g".repeat(32).parse::<Nonce>(), Err(NameError::Nonce));
    }
}
