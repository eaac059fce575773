//! The anomalies of a line.

use alloc::vec::Vec;

/// One anomaly; an envelope lists those of its line in `payload.anomalies`, in this order.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Anomaly {
    /// The line is not UTF-8: its strings show U+FFFD where it is not, `raw.lineBase64` has the bytes.
    InvalidUtf8,
    /// A tag came twice: the last one counts.
    DuplicateTag,
    /// A message or notice without an id.
    MissingId,
    /// A message, notice or moderation without the time it was sent.
    MissingTimestamp,
    /// The time it was sent is not a number of milliseconds before the year 10000.
    BadTimestamp,
    /// No room id, or an empty one.
    MissingRoomId,
    /// A message without a text.
    MissingText,
    /// A color that is not `#` and six hex digits; shown as none.
    BadColor,
    /// An emote range that is malformed, lies outside of the text or overlaps another one: left out. Or a range beside
    /// which stands something other than a space: kept as it came, but most likely in the wrong place.
    BadEmotes,
    /// A number that is not one; shown as none.
    BadNumber,
    /// A GIF that is not `first-last|id|url`, or lies outside of the text; left out.
    BadGifs,
    /// The channel is named without its `#`.
    MissingHash,
}

const NAMES: [&str; 12] = [
    "invalid_utf8",
    "duplicate_tag",
    "missing_id",
    "missing_timestamp",
    "bad_timestamp",
    "missing_room_id",
    "missing_text",
    "bad_color",
    "bad_emotes",
    "bad_number",
    "bad_gifs",
    "missing_hash",
];

/// The anomalies of one line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Anomalies(u16);

impl Anomalies {
    pub(crate) fn add(&mut self, anomaly: Anomaly) {
        self.0 |= 1 << anomaly as u8;
    }

    pub(crate) fn add_if(&mut self, odd: bool, anomaly: Anomaly) {
        self.0 |= u16::from(odd) << anomaly as u8;
    }

    /// Writes `,"anomalies":[...]`, or nothing where there are none.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        if self.0 == 0 {
            return;
        }
        out.extend_from_slice(b",\"anomalies\":");
        let mut separator = b'[';
        for (bit, name) in NAMES.iter().enumerate() {
            if self.0 >> bit & 1 == 1 {
                out.extend_from_slice(&[separator, b'"']);
                out.extend_from_slice(name.as_bytes());
                out.push(b'"');
                separator = b',';
            }
        }
        out.push(b']');
    }
}
