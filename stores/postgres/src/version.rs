//! What the version of a row says besides being one that has never stood there: whose the record under it is. So a writer knows,
//! from the version that it replaces, whether the key changes hands, and the statement need not look.

use tenure_records::{Content, Record};
use tenure_store::Nonce;

/// Below it lies what is random.
const RANDOM_BITS: u32 = 48;

/// The upper bits of a version. Rows whose version somebody else made up have any: then a hint may be given that nobody needed,
/// or a tenure may begin without one, and the release of a bound lease may be answered before it is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    /// What tells a tenure from the next of the same key, but for one pair in 32,000: its hint is missing then.
    pub(crate) tenure: u16,
    /// Whether the lease is bound, to last as long as another.
    pub(crate) is_bound: bool,
}

impl Tag {
    /// What is in this place once this is written: nobody's tenure where it is none, or no lease.
    pub(crate) fn of(content: Option<&Content>) -> Tag {
        let record = if let Some(Content::Lease(record)) = content { Some(record) } else { None };
        record.and_then(Record::occupant).map_or(Tag { tenure: 0, is_bound: false }, |occupant| {
            let Nonce { process, campaign } = occupant.nonce;
            // Successive campaigns of one process, and the same of several, are far from each other.
            let mixed = (process ^ campaign.wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> (RANDOM_BITS + 1);
            Tag { tenure: u16::try_from(mixed).unwrap_or(0).max(1), is_bound: occupant.bound.is_some() }
        })
    }

    /// What was in this place when it had this version; nothing for none.
    pub(crate) fn of_version(version: Option<i64>) -> Tag {
        let upper = version.unwrap_or(0).cast_unsigned() >> RANDOM_BITS;
        Tag { tenure: u16::try_from(upper >> 1).unwrap_or(0), is_bound: upper & 1 == 1 }
    }

    /// A new version.
    pub(crate) fn version(self) -> i64 {
        let upper = u64::from(self.tenure) << 1 | u64::from(self.is_bound);
        (upper << RANDOM_BITS | rand::random::<u64>() >> (64 - RANDOM_BITS)).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is drawn, a version tells whose the record is, and no two are alike.
    #[test]
    fn versions_tell_tenures_apart() {
        for (tenure, is_bound) in [(0, false), (0, true), (1, false), (0x7fff, true)] {
            let tag = Tag { tenure, is_bound };
            let (one, other) = (tag.version(), tag.version());
            assert_eq!([Tag::of_version(Some(one)), Tag::of_version(Some(other))], [tag, tag]);
            assert_ne!(one, other);
        }
        assert_eq!(Tag::of_version(None), Tag::of(None));
    }
}
