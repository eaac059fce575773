//! The tags of a message, in order, as they came.
//!
//! Tags are most of a Twitch line and iterating them is most of the cost of reading one. So the section is not searched
//! tag by tag: 64 bytes at a time become one word with a bit for each `;` and `=`, and the bits are then walked. The
//! compiler turns the comparison into vector instructions, so no `unsafe` is needed.

use core::fmt;
use core::iter::FusedIterator;

/// The tag section of a message, without the leading `@`. Iterating yields every tag in the line's order, repeated ones
/// too. An empty piece between two semicolons is no tag.
#[derive(Clone, Copy)]
pub struct Tags<'a> {
    /// The line from the section on. The bytes beyond the section are only there so that the last block can be loaded
    /// whole.
    line: &'a [u8],
    raw: &'a [u8],
    /// Where the next tag starts.
    start: usize,
    /// Where the block starts that `separators` describes.
    block: usize,
    /// One bit for each separator of the block that was not visited yet.
    separators: u64,
}

/// One tag, as it came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tag<'a> {
    /// The key; empty where nothing stands before the `=`.
    pub key: &'a [u8],
    /// The value, still escaped (see [`crate::unescape`]); `None` where there is no `=`.
    pub value: Option<&'a [u8]>,
}

impl<'a> Tags<'a> {
    /// `line` starts with the section, which ends after `length` bytes.
    #[inline]
    pub(crate) fn new(line: &'a [u8], length: usize) -> Self {
        let mut tags = Tags { line, raw: &line[..length], start: 0, block: 0, separators: 0 };
        if length > 0 {
            tags.load();
        }
        tags
    }

    /// The whole section, without the leading `@`, however far this has been iterated.
    #[inline]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The value of the last tag with this key, still escaped; empty where that tag has none. Reads the whole section,
    /// so a caller that needs many keys should iterate instead.
    pub fn get(&self, key: &[u8]) -> Option<&'a [u8]> {
        let found = Tags::new(self.line, self.raw.len()).filter(|tag| tag.key == key).last()?;
        Some(found.value.unwrap_or_default())
    }

    #[inline]
    fn load(&mut self) {
        let rest = self.line.get(self.block..).unwrap_or_default();
        let separators = match rest.first_chunk() {
            Some(block) => separators(block),
            None => separators_of_short(rest),
        };
        let left = self.raw.len().saturating_sub(self.block);
        self.separators = if left < BLOCK { separators & ((1 << left) - 1) } else { separators };
    }
}

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    #[inline]
    fn next(&mut self) -> Option<Tag<'a>> {
        loop {
            let start = self.start;
            if start >= self.raw.len() {
                return None;
            }
            let mut equals = None;
            let end = loop {
                if self.separators == 0 {
                    self.block += BLOCK;
                    if self.block >= self.raw.len() {
                        break self.raw.len();
                    }
                    self.load();
                    continue;
                }
                let at = self.block + self.separators.trailing_zeros() as usize;
                self.separators &= self.separators - 1;
                if self.raw.get(at) != Some(&b'=') {
                    break at;
                }
                // Only the first `=` separates key and value; the others belong to the value.
                equals = equals.or(Some(at));
            };
            self.start = end + 1;
            match equals {
                Some(at) => return Some(Tag { key: &self.raw[start..at], value: Some(&self.raw[at + 1..end]) }),
                None if start < end => return Some(Tag { key: &self.raw[start..end], value: None }),
                None => {}
            }
        }
    }
}

impl FusedIterator for Tags<'_> {}

const BLOCK: usize = 64;

/// One bit for each byte that is `;` or `=`.
#[inline]
fn separators(block: &[u8; BLOCK]) -> u64 {
    let found: [u8; BLOCK] =
        core::array::from_fn(|at| if (block[at] == b';') | (block[at] == b'=') { u8::MAX } else { 0 });
    let mut bits = 0;
    for (at, eight) in found.as_chunks::<8>().0.iter().enumerate() {
        // Byte i of the word keeps its bit i only; the product gathers the eight bits in its top byte.
        let eight = u64::from_le_bytes(*eight) & 0x8040_2010_0804_0201;
        bits |= (eight.wrapping_mul(0x0101_0101_0101_0101) >> 56) << (8 * at);
    }
    bits
}

/// Like [`separators`], for the end of the line, where fewer than 64 bytes are left.
#[cold]
fn separators_of_short(rest: &[u8]) -> u64 {
    let mut block = [0; BLOCK];
    for (to, from) in block.iter_mut().zip(rest) {
        *to = *from;
    }
    separators(&block)
}

impl fmt::Debug for Tags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

impl fmt::Debug for Tag<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key.escape_ascii())?;
        match self.value {
            Some(value) => write!(f, "={}", value.escape_ascii()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// The plain reading of the grammar, one split after the other.
    fn plainly(section: &[u8]) -> Vec<Tag<'_>> {
        let split = section.split(|&byte| byte == b';').filter(|tag| !tag.is_empty());
        split
            .map(|tag| match tag.iter().position(|&byte| byte == b'=') {
                Some(at) => Tag { key: &tag[..at], value: Some(&tag[at + 1..]) },
                None => Tag { key: tag, value: None },
            })
            .collect()
    }

    /// Tags, values and separators of every length, at every place in a block and before line ends of every distance
    /// come out as the plain reading has them.
    #[test]
    fn tags_are_those_of_the_plain_reading_wherever_blocks_end() {
        let pattern = b"a=b;;longer-key=va=lue;flag;=;k=;\xff\x80\xbb\xbd=\x00;last==x;";
        for shift in 0..70 {
            for length in 0..200 {
                let mut line: Vec<u8> = core::iter::repeat_n(b'x', shift).collect();
                line.extend(pattern.iter().cycle().take(length));
                let section = line.len();
                for beyond in [0, 1, 63, 64, 65] {
                    line.truncate(section);
                    line.extend(b";=".iter().cycle().take(beyond));
                    let tags = Tags::new(&line, section);
                    assert_eq!(tags.collect::<Vec<_>>(), plainly(&line[..section]), "{shift} {length} {beyond}");
                }
            }
        }
    }

    /// The last of several tags with the same key counts; one without a value is there and empty.
    #[test]
    fn get_gives_the_last_value() {
        let tags = Tags::new(b"a=1;b;a=2;c=", 12);
        assert_eq!(tags.get(b"a"), Some(&b"2"[..]));
        assert_eq!(tags.get(b"b"), Some(&b""[..]));
        assert_eq!(tags.get(b"c"), Some(&b""[..]));
        assert_eq!(tags.get(b"d"), None);
    }
}
