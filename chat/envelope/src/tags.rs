//! One pass over a line's tags: the values that an envelope needs, and `raw.tags` on the way.

use alloc::vec::Vec;
use core::ops::Range;

use tenure_irc::Tags;

use crate::json::{self, Escaping};

/// Defines the tags that Twitch sends: their slots, their names, and their members in `raw.tags`.
macro_rules! keys {
    ($($slot:ident $name:literal,)*) => {
        /// A tag that Twitch is known to send. Those without a member of their own are here to be recognized quickly.
        #[derive(Clone, Copy)]
        #[allow(dead_code, reason = "a slot may be wanted for its name alone")]
        pub(crate) enum Key {
            $($slot,)*
        }

        const NAMES: &[&[u8]] = &[$($name.as_bytes(),)*];
        const PADDED: [[u64; WORDS]; NAMES.len()] = [$(padded($name.as_bytes()),)*];
        const MEMBERS: [Member; NAMES.len()] = [$(Member::new(concat!("\",\"", $name, "\":\"").as_bytes()),)*];
    };
}

keys! {
    BadgeInfo "badge-info",
    Badges "badges",
    BanDuration "ban-duration",
    Bits "bits",
    ClientNonce "client-nonce",
    Color "color",
    CustomRewardId "custom-reward-id",
    DisplayName "display-name",
    EmoteOnly "emote-only",
    Emotes "emotes",
    FirstMsg "first-msg",
    Flags "flags",
    FollowersOnly "followers-only",
    Gifs "gifs",
    Historical "historical",
    Id "id",
    Login "login",
    Mod "mod",
    MsgId "msg-id",
    R9k "r9k",
    ReplyParentDisplayName "reply-parent-display-name",
    ReplyParentMsgBody "reply-parent-msg-body",
    ReplyParentMsgId "reply-parent-msg-id",
    ReplyParentUserId "reply-parent-user-id",
    ReplyParentUserLogin "reply-parent-user-login",
    ReplyThreadParentDisplayName "reply-thread-parent-display-name",
    ReplyThreadParentMsgId "reply-thread-parent-msg-id",
    ReplyThreadParentUserId "reply-thread-parent-user-id",
    ReplyThreadParentUserLogin "reply-thread-parent-user-login",
    ReturningChatter "returning-chatter",
    Rituals "rituals",
    RmReceivedTs "rm-received-ts",
    RoomId "room-id",
    Slow "slow",
    SourceBadgeInfo "source-badge-info",
    SourceBadges "source-badges",
    SourceId "source-id",
    SourceMsgId "source-msg-id",
    SourceOnly "source-only",
    SourceRoomId "source-room-id",
    SubsOnly "subs-only",
    Subscriber "subscriber",
    SystemMsg "system-msg",
    TargetMsgId "target-msg-id",
    TargetUserId "target-user-id",
    TmiSentTs "tmi-sent-ts",
    Turbo "turbo",
    UserId "user-id",
    UserType "user-type",
    Vip "vip",
}

/// How many tags not named above are compared with each other; more are sorted to find repeated ones.
const FEW: usize = 16;
/// The prefix of the tags that become a notice's `params`, where it is left out.
const PARAM: &[u8] = b"msg-param-";

/// Buffers that are reused for each line.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The members of `raw.tags`, each after the closing quote of the one before and a comma, without its own.
    members: Vec<u8>,
    /// The members of a notice's `params`, likewise.
    params: Vec<u8>,
    /// The keys that are not named above, as ranges of the section.
    others: Vec<Range<usize>>,
    /// Every tag, if repeated ones have to be removed.
    sorted: Vec<(Range<usize>, Range<usize>, usize)>,
}

impl Scratch {
    /// Writes the object `raw.tags`.
    pub(crate) fn write_members(&self, out: &mut Vec<u8>) {
        write_object(&self.members, out);
    }

    /// Writes the object `params`.
    pub(crate) fn write_params(&self, out: &mut Vec<u8>) {
        write_object(&self.params, out);
    }
}

/// The values of the tags named above.
pub(crate) struct Values<'a> {
    slots: [Option<&'a [u8]>; NAMES.len()],
    /// Whether a tag is repeated.
    pub(crate) doubled: bool,
    escaping: Escaping,
}

impl<'a> Values<'a> {
    /// Reads all tags once; of a repeated tag the last one counts.
    pub(crate) fn read(tags: Tags<'a>, escaping: Escaping, scratch: &mut Scratch) -> Values<'a> {
        scratch.members.clear();
        scratch.params.clear();
        scratch.others.clear();
        let section = tags.raw();
        let mut values = Values { slots: [None; NAMES.len()], doubled: false, escaping };
        let (mut start, mut equals) = (0, None);
        signs(section, |at| match section.get(at) {
            Some(b'=') => equals = equals.or(Some(at)),
            _ => {
                let key = start..equals.unwrap_or(at);
                let value = equals.map_or(at, |equals| equals + 1)..at;
                if start < at {
                    values.take(section, key, value, scratch);
                }
                (start, equals) = (at + 1, None);
            }
        });
        if values.doubled {
            values.doubled = keep_last(tags, escaping, scratch);
        }
        values
    }

    fn take(&mut self, section: &'a [u8], key: Range<usize>, value: Range<usize>, scratch: &mut Scratch) {
        match slot(section, &key) {
            Some(slot) => {
                self.doubled |= self.slots[slot].is_some();
                self.slots[slot] = Some(&section[value.clone()]);
                MEMBERS[slot].write(&mut scratch.members);
                if self.escaping == Escaping::Copy {
                    copy_short(section, value, &mut scratch.members);
                } else {
                    json::tag_value(&mut scratch.members, &section[value], self.escaping);
                }
            }
            None => {
                self.doubled |= is_double(section, &section[key.clone()], &scratch.others);
                write_other(&section[key.clone()], &section[value], self.escaping, scratch);
                scratch.others.push(key);
            }
        }
    }

    /// The tag's value, still escaped; `None` where the tag is absent or empty.
    pub(crate) fn get(&self, key: Key) -> Option<&'a [u8]> {
        self.slots[key as usize].filter(|value| !value.is_empty())
    }

    /// The tag's value, still escaped; empty where the tag is absent.
    pub(crate) fn text(&self, key: Key) -> &'a [u8] {
        self.slots[key as usize].unwrap_or_default()
    }

    /// Whether the tag says `1`.
    pub(crate) fn flag(&self, key: Key) -> bool {
        self.text(key) == b"1"
    }

    /// Writes the tag's value with its escapes resolved, without quotes.
    pub(crate) fn write(&self, key: Key, out: &mut Vec<u8>) {
        json::tag_value(out, self.text(key), self.escaping);
    }

    /// How values taken from the tags must be escaped.
    pub(crate) fn escaping(&self) -> Escaping {
        self.escaping
    }
}

/// A decimal number; `None` where it is anything else.
pub(crate) fn parse_number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(u64::from(digit)) }
    })
}

const ABSENT: u8 = u8::MAX;

/// The slots by [`hash`]; its factor was searched so that no two names meet, which the compiler checks.
const SLOTS: [u8; 256] = {
    let mut slots = [ABSENT; 256];
    let mut slot = 0;
    while slot < NAMES.len() {
        let at = hash(NAMES[slot]) as usize;
        assert!(slots[at] == ABSENT, "two tag names have the same hash: choose another factor");
        slots[at] = slot as u8;
        slot += 1;
    }
    slots
};

const fn hash(key: &[u8]) -> u8 {
    let (first, middle, last) = (key[0], key[key.len() / 2], key[key.len() - 1]);
    let word = u32::from_le_bytes([first, middle, last, key.len() as u8]);
    (word.wrapping_mul(0xd86f_40f7) >> 24) as u8
}

/// The slot of the key that lies there in the section.
///
/// Lines name their tags in any order, so branches on a key's length or bytes would be guessed wrong most of the time:
/// every key is compared over the same number of words.
fn slot(section: &[u8], key: &Range<usize>) -> Option<usize> {
    let bytes = &section[key.clone()];
    if bytes.is_empty() {
        return None;
    }
    let slot = usize::from(SLOTS[usize::from(hash(bytes))]);
    let name = NAMES.get(slot)?;
    let equal = match section.get(key.start..).and_then(<[u8]>::first_chunk::<{ WORDS * 8 }>) {
        Some(wide) => {
            let mask = &MASKS[name.len()];
            let words = wide.as_chunks::<8>().0.iter().zip(mask).map(|(word, mask)| u64::from_le_bytes(*word) & mask);
            words.zip(&PADDED[slot]).fold(0, |differ, (word, name)| differ | (word ^ name)) == 0
        }
        // The key lies too near the end of the section for whole words.
        None => bytes == *name,
    };
    (equal && bytes.len() == name.len()).then_some(slot)
}

/// How many words the longest name takes.
const WORDS: usize = 5;

/// By a name's length: which bits of its words count.
const MASKS: [[u64; WORDS]; WORDS * 8 + 1] = {
    let mut masks = [[0; WORDS]; WORDS * 8 + 1];
    let mut length = 0;
    while length < masks.len() {
        let mut at = 0;
        while at < length {
            masks[length][at / 8] |= 0xff << (at % 8 * 8);
            at += 1;
        }
        length += 1;
    }
    masks
};

/// A name as words, zeros behind it.
const fn padded(name: &[u8]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    let mut at = 0;
    while at < name.len() {
        words[at / 8] |= (name[at] as u64) << (at % 8 * 8);
        at += 1;
    }
    words
}

/// Whether the key is among the others; if they are many, "perhaps" is answered with true.
fn is_double(section: &[u8], key: &[u8], others: &[Range<usize>]) -> bool {
    others.len() >= FEW || others.iter().any(|other| section[other.clone()] == *key)
}

fn write_other(key: &[u8], value: &[u8], escaping: Escaping, scratch: &mut Scratch) {
    write_member(key, value, escaping, &mut scratch.members);
    if let Some(param) = key.strip_prefix(PARAM) {
        write_member(param, value, escaping, &mut scratch.params);
    }
}

fn write_member(key: &[u8], value: &[u8], escaping: Escaping, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\",\"");
    json::text(out, key, escaping);
    out.extend_from_slice(b"\":\"");
    json::tag_value(out, value, escaping);
}

fn write_object(members: &[u8], out: &mut Vec<u8>) {
    match members.get(2..) {
        Some(members) => {
            out.push(b'{');
            out.extend_from_slice(members);
            out.extend_from_slice(b"\"}");
        }
        None => out.extend_from_slice(b"{}"),
    }
}

/// The beginning of a member of `raw.tags`, padded so that it is copied by a fixed number of bytes.
struct Member {
    bytes: [u8; 40],
    length: usize,
}

impl Member {
    const fn new(text: &[u8]) -> Member {
        let mut member = Member { bytes: [0; 40], length: text.len() };
        let mut at = 0;
        while at < text.len() {
            member.bytes[at] = text[at];
            at += 1;
        }
        member
    }

    fn write(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.length;
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }
}

/// Copies a few bytes as a block of fixed size, where the section is long enough; the calls for each length cost more.
fn copy_short(section: &[u8], range: Range<usize>, out: &mut Vec<u8>) {
    const ROOM: usize = 40;
    match section.get(range.start..range.start + ROOM) {
        Some(wide) if range.len() <= ROOM => {
            let end = out.len() + range.len();
            out.extend_from_slice(wide);
            out.truncate(end);
        }
        _ => out.extend_from_slice(&section[range]),
    }
}

/// Calls `at` with the place of every `;` and `=`, in order, and with the end.
fn signs(section: &[u8], mut at: impl FnMut(usize)) {
    let (blocks, tail) = section.as_chunks::<64>();
    // One more `;` stands behind the end, so that all places are found in the same way.
    let mut last = [0; 64];
    last[..tail.len()].copy_from_slice(tail);
    last[tail.len()] = b';';
    for (index, block) in blocks.iter().chain([&last]).enumerate() {
        let mut found = signs_of_block(block);
        while found != 0 {
            at(index * 64 + found.trailing_zeros() as usize);
            found &= found - 1;
        }
    }
}

/// One bit per byte: whether it is `;` or `=`.
fn signs_of_block(block: &[u8; 64]) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const LOWS: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    // The top bit of each byte that is zero; exact, unlike the shorter formula, which errs behind a hit.
    let zeros = |word: u64| !(((word & LOWS) + LOWS) | word | LOWS);
    block.as_chunks::<8>().0.iter().enumerate().fold(0, |found, (index, chunk)| {
        let word = u64::from_le_bytes(*chunk);
        let tops = zeros(word ^ (ONES * b';' as u64)) | zeros(word ^ (ONES * b'=' as u64));
        // The product brings the eight bits together in the top byte.
        let bits = (tops >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        found | bits << (index * 8)
    })
}

/// Writes all members anew, only the last one of each key, and returns whether a key was repeated.
fn keep_last(tags: Tags<'_>, escaping: Escaping, scratch: &mut Scratch) -> bool {
    let section = tags.raw();
    let sorted = &mut scratch.sorted;
    sorted.clear();
    sorted.extend(
        tags.enumerate()
            .map(|(order, tag)| (range_of(section, tag.key), range_of(section, tag.value.unwrap_or_default()), order)),
    );
    let all = sorted.len();
    // Later ones first within a key, so that the removal keeps the last.
    sorted.sort_unstable_by(|a, b| section[a.0.clone()].cmp(&section[b.0.clone()]).then(b.2.cmp(&a.2)));
    sorted.dedup_by(|a, b| section[a.0.clone()] == section[b.0.clone()]);
    sorted.sort_unstable_by_key(|tag| tag.2);
    let doubled = sorted.len() < all;
    scratch.members.clear();
    scratch.params.clear();
    for at in 0..scratch.sorted.len() {
        let (key, value, _) = scratch.sorted[at].clone();
        write_other(&section[key], &section[value], escaping, scratch);
    }
    doubled
}

/// The range of `part` within `section`, of which it is a slice; any range where it is empty.
fn range_of(section: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(section.as_ptr() as usize);
    if part.is_empty() || start > section.len() { 0..0 } else { start..start + part.len() }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::{format, vec};

    use super::*;

    fn read(section: &str) -> (bool, String, String) {
        let line = format!("@{section} X");
        let message = tenure_irc::parse(line.as_bytes()).unwrap();
        let mut scratch = Scratch::default();
        let values = Values::read(message.tags(), Escaping::Escape, &mut scratch);
        let (mut members, mut params) = (vec![], vec![]);
        scratch.write_members(&mut members);
        scratch.write_params(&mut params);
        (values.doubled, String::from_utf8(members).unwrap(), String::from_utf8(params).unwrap())
    }

    /// Every tag is shown in the line's order with its value as it is meant, also one without a value or a key.
    #[test]
    fn members_follow_the_line() {
        let (doubled, members, params) = read("b=1;id;x=a\\sb;=v;msg-param-months=3");
        assert!(!doubled);
        assert_eq!(members, r#"{"b":"1","id":"","x":"a b","":"v","msg-param-months":"3"}"#);
        assert_eq!(params, r#"{"months":"3"}"#);
        assert_eq!(read("").1, "{}");
    }

    /// Of a tag that comes twice the last one counts, whether its name is known or not, among few tags or many.
    #[test]
    fn last_double_counts() {
        assert_eq!(read("id=1;x=2;id=3"), (true, r#"{"x":"2","id":"3"}"#.into(), "{}".into()));
        assert_eq!(read("y=1;x=2;y=3").1, r#"{"x":"2","y":"3"}"#);
        assert_eq!(read("=1;x=2;=3").1, r#"{"x":"2","":"3"}"#);
        let params = read("msg-param-a=1;msg-param-a=2").2;
        assert_eq!(params, r#"{"a":"2"}"#);
        let many: String = (0..40).map(|n| format!("k{n}=v;")).collect();
        assert!(!read(&many).0);
        let (doubled, members, _) = read(&format!("{many}k7=w"));
        assert!(doubled && members.ends_with(r#","k7":"w"}"#) && members.matches("k7").count() == 1);
    }

    /// Every name is found by its hash, and nothing else is.
    #[test]
    fn names_are_found() {
        for (at, name) in NAMES.iter().enumerate() {
            let section = [b";", *name, &[b'x'; 40]].concat();
            let near_end = &section[..=name.len()];
            for (section, expected) in [(&section[..], Some(at)), (near_end, Some(at))] {
                assert_eq!(slot(section, &(1..1 + name.len())), expected);
                assert_eq!(slot(section, &(2..1 + name.len())), None);
                assert_eq!(slot(section, &(1..name.len())), None);
                assert_eq!(slot(section, &(0..name.len())), None);
            }
        }
        assert_eq!(slot(b"", &(0..0)), None);
    }

    /// Numbers are digits only, and fit.
    #[test]
    fn numbers_are_digits() {
        assert_eq!(parse_number(b"18446744073709551615"), Some(u64::MAX));
        for wrong in [&b""[..], b"-1", b"1 ", b"x", b"18446744073709551616"] {
            assert_eq!(parse_number(wrong), None);
        }
    }
}
