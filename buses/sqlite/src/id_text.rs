//! Envelope ids as text, as they stand in the table.

use tenure_envelope::EnvelopeId;

/// An id as text, without an allocation.
pub(crate) struct IdText([u8; 36]);

impl IdText {
    pub(crate) fn of(id: EnvelopeId) -> IdText {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (index, byte) in id.0.iter().enumerate() {
            at += usize::from(matches!(index, 4 | 6 | 8 | 10));
            text[at] = HEX[usize::from(byte >> 4)];
            text[at + 1] = HEX[usize::from(byte & 15)];
            at += 2;
        }
        IdText(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        // The bytes are hex digits and hyphens only, so they are UTF-8.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The id that a row's text stands for; `None` where the text is no id.
pub(crate) fn parse_id(text: &str) -> Option<EnvelopeId> {
    let mut id = [0; 16];
    let mut digits = text.bytes().filter(|byte| *byte != b'-');
    for byte in &mut id {
        let (high, low) = (digits.next()?, digits.next()?);
        let value = char::from(high).to_digit(16)? << 4 | char::from(low).to_digit(16)?;
        *byte = u8::try_from(value).ok()?;
    }
    (digits.next().is_none() && text.len() == 36).then_some(EnvelopeId(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An id reads back from its text, and its text is the one that envelopes show.
    #[test]
    fn id_text_round_trips() {
        let id = EnvelopeId(*b"\x00\x01\x02\x03\x7f\x80\x90\xff\xfe\xdc\xba\x98\x76\x54\x32\x10");
        assert_eq!(IdText::of(id).as_str(), id.to_string());
        assert_eq!(parse_id(IdText::of(id).as_str()), Some(id));
        for wrong in ["", "00", "zz010203-7f80-90ff-fedc-ba9876543210", "00010203-7f80-90ff-fedc-ba98765432100"] {
            assert_eq!(parse_id(wrong), None, "{wrong}");
        }
    }
}
