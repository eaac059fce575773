//! Writes JSON strings from untrusted bytes: the result is always valid, whatever the bytes.

use alloc::vec::Vec;

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// How a stretch of a line must be escaped in a JSON string; determined once for everything that lies in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escaping {
    /// The bytes are copied: they are UTF-8 without quotes, backslashes and control characters.
    Copy,
    /// The bytes are UTF-8, of which some need an escape.
    Escape,
    /// The bytes are not UTF-8: U+FFFD replaces every invalid sequence.
    Repair,
}

impl Escaping {
    /// The escaping of these bytes, given whether they are UTF-8.
    pub(crate) fn of(bytes: &[u8], utf8: bool) -> Escaping {
        match (utf8, utf8 && is_clean(bytes)) {
            (false, _) => Escaping::Repair,
            (true, true) => Escaping::Copy,
            (true, false) => Escaping::Escape,
        }
    }

    pub(crate) fn worse(self, other: Escaping) -> Escaping {
        match (self, other) {
            (Escaping::Copy, Escaping::Copy) => Escaping::Copy,
            (Escaping::Repair, _) | (_, Escaping::Repair) => Escaping::Repair,
            _ => Escaping::Escape,
        }
    }
}

/// Writes the content of a JSON string, without its quotes.
pub(crate) fn text(out: &mut Vec<u8>, bytes: &[u8], escaping: Escaping) {
    match escaping {
        Escaping::Copy => out.extend_from_slice(bytes),
        Escaping::Escape => escaped(out, bytes, Backslash::Plain),
        Escaping::Repair => repaired(out, bytes, Backslash::Plain),
    }
}

/// Writes a tag's value as the content of a JSON string, with the tag's own escapes resolved (see
/// `tenure_irc::unescape`).
pub(crate) fn tag_value(out: &mut Vec<u8>, bytes: &[u8], escaping: Escaping) {
    match escaping {
        Escaping::Copy => out.extend_from_slice(bytes),
        Escaping::Escape => escaped(out, bytes, Backslash::Tag),
        Escaping::Repair => repaired(out, bytes, Backslash::Tag),
    }
}

/// Writes a number.
pub(crate) fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(decimal(number, &mut [0; 20]));
}

/// The decimal digits of a number, written to the end of `digits`.
pub(crate) fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

/// Writes `true` or `false`.
pub(crate) fn boolean(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// How a backslash in the input is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Backslash {
    Plain,
    Tag,
}

fn escaped(out: &mut Vec<u8>, mut bytes: &[u8], backslash: Backslash) {
    loop {
        let (clean, rest) = bytes.split_at(clean_prefix(bytes));
        out.extend_from_slice(clean);
        let Some((&first, after)) = rest.split_first() else { return };
        bytes = after;
        if first == b'\\' && backslash == Backslash::Tag {
            // An escaped byte that has no meaning of its own is handled by the next round.
            let meant: &[u8] = match after.first() {
                Some(b':') => b";",
                Some(b's') => b" ",
                Some(b'\\') => b"\\\\",
                Some(b'r') => b"\\r",
                Some(b'n') => b"\\n",
                _ => continue,
            };
            out.extend_from_slice(meant);
            bytes = &after[1..];
        } else {
            special(out, first);
        }
    }
}

fn repaired(out: &mut Vec<u8>, bytes: &[u8], backslash: Backslash) {
    for chunk in bytes.utf8_chunks() {
        escaped(out, chunk.valid().as_bytes(), backslash);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Writes a quote, a backslash or a control character.
#[cold]
fn special(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Whether no byte needs an escape. Written so that the compiler makes vector code of it.
fn is_clean(bytes: &[u8]) -> bool {
    let (chunks, tail) = bytes.as_chunks::<32>();
    let dirty = |chunk: &[u8; 32]| chunk.iter().fold(false, |found, &byte| found | is_special(byte));
    !chunks.iter().any(dirty) && !tail.iter().fold(false, |found, &byte| found | is_special(byte))
}

/// How many bytes at the front need no escape; eight at a time.
fn clean_prefix(bytes: &[u8]) -> usize {
    let (chunks, tail) = bytes.as_chunks::<8>();
    for (index, chunk) in chunks.iter().enumerate() {
        let word = u64::from_le_bytes(*chunk);
        // The lowest byte that a mask marks is right; a borrow can wrongly mark bytes above it only.
        let control = word.wrapping_sub(ONES * 0x20);
        let quote = (word ^ (ONES * 0x22)).wrapping_sub(ONES);
        let slash = (word ^ (ONES * 0x5c)).wrapping_sub(ONES);
        let found = (control | quote | slash) & !word & TOPS;
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let clean = tail.iter().position(|&byte| is_special(byte)).unwrap_or(tail.len());
    chunks.len() * 8 + clean
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use super::*;

    fn written(bytes: &[u8], write: fn(&mut Vec<u8>, &[u8], Escaping)) -> String {
        let mut out = Vec::new();
        write(&mut out, bytes, Escaping::of(bytes, core::str::from_utf8(bytes).is_ok()));
        String::from_utf8(out).unwrap()
    }

    /// Every byte value at every place of a word is found or passed as it should be.
    #[test]
    fn clean_prefix_finds_the_first_special_byte() {
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=255 {
                    let mut bytes = alloc::vec![0xc3; length];
                    bytes[at] = byte;
                    let expected = if is_special(byte) { at } else { length };
                    assert_eq!(clean_prefix(&bytes), expected, "{byte} at {at} of {length}");
                    assert_eq!(is_clean(&bytes), !is_special(byte));
                }
            }
        }
    }

    /// Two special bytes in one word: the first is found, whatever follows it.
    #[test]
    fn clean_prefix_is_right_next_to_special_bytes() {
        for first in [0u8, 0x1f, b'"', b'\\'] {
            for second in 0..=255 {
                assert_eq!(clean_prefix(&[b'!', b'#', first, second, b'[', b']', 0x21, 0x80]), 2);
            }
        }
    }

    /// Quotes, backslashes and control characters are escaped, nothing else is touched.
    #[test]
    fn text_is_escaped() {
        assert_eq!(written(b"a\"b\\c\x01\n\r\t\x1f\x7f", text), "a\\\"b\\\\c\\u0001\\n\\r\\t\\u001f\x7f");
        assert_eq!(written("\u{2028}é".as_bytes(), text), "\u{2028}é");
    }

    /// An invalid UTF-8 sequence becomes the replacement character, as in the standard library.
    #[test]
    fn invalid_utf8_is_replaced() {
        for bytes in [&b"a\xffb"[..], b"\xf0\x9f\x98", b"\xc3(", b"\xed\xa0\x80"] {
            assert_eq!(written(bytes, text), String::from_utf8_lossy(bytes));
        }
    }

    /// A tag's escapes are resolved and the result escaped for JSON.
    #[test]
    fn tag_values_are_unescaped_and_escaped() {
        let cases = [
            (&b"a\\sb\\:c\\\\d\\r\\n"[..], "a b;c\\\\d\\r\\n"),
            (b"lone\\", "lone"),
            (b"\\\"", "\\\""),
            (b"\\x\\\xc3\xa9", "xé"),
            (b"\\\\s", "\\\\s"),
            (b"\\\xff\\s", "\u{fffd} "),
            (b"\\\x01", "\\u0001"),
        ];
        for (raw, expected) in cases {
            assert_eq!(written(raw, tag_value), expected);
        }
    }

    /// Numbers are written in full.
    #[test]
    fn numbers_are_decimal() {
        for value in [0, 7, 10, 99, 1_234_567, u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{value}"));
        }
    }
}
