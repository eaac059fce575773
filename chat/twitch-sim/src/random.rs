//! A small seeded random source whose output never changes between versions or machines.

/// SplitMix64 (Steele, Lea, Flood 2014): enough for made-up chat, not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The same seed gives the same sequence for ever.
    pub(crate) fn new(seed: u64) -> Self {
        Rng(seed)
    }

    /// An independent source from the same seed, for another purpose.
    pub(crate) fn fork(seed: u64, purpose: u64) -> Self {
        let mut mixed = Rng(seed ^ purpose.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        Rng(mixed.next_u64())
    }

    /// Returns 64 uniformly distributed bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 where the bound is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }

    /// A number below `bound` that favours the small ones, as a few rooms and a few people write most lines.
    pub(crate) fn skewed(&mut self, bound: usize) -> usize {
        let ceiling = self.below(bound) + 1;
        self.below(ceiling.min(bound))
    }

    /// True with a probability of `n` in a thousand.
    pub(crate) fn per_mille(&mut self, n: usize) -> bool {
        self.below(1000) < n
    }

    /// Any element; the slice must not be empty.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Appends a version 4 UUID as text.
    pub(crate) fn write_uuid(&mut self, out: &mut Vec<u8>) {
        let high = (self.next_u64() & !0xF000) | 0x4000;
        let low = (self.next_u64() & !(0b11 << 62)) | (0b10 << 62);
        let all = (u128::from(high) << 64) | u128::from(low);
        for at in 0..32u32 {
            if matches!(at, 8 | 12 | 16 | 20) {
                out.push(b'-');
            }
            push_hex(out, (all >> (124 - 4 * at)) as u8 & 15);
        }
    }

    /// Appends this many hexadecimal digits.
    pub(crate) fn write_hex(&mut self, out: &mut Vec<u8>, digits: usize) {
        let mut bits = 0;
        for at in 0..digits {
            if at % 16 == 0 {
                bits = self.next_u64();
            }
            push_hex(out, bits as u8 & 15);
            bits >>= 4;
        }
    }
}

fn push_hex(out: &mut Vec<u8>, nibble: u8) {
    out.push(b"0123456789abcdef"[usize::from(nibble & 15)]);
}

/// Appends a decimal number without going through a formatter.
pub(crate) fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sequence is part of the contract: a seed printed by a failure must repeat it in a later version.
    #[test]
    fn the_sequence_of_a_seed_never_changes() {
        let mut rng = Rng::new(1);
        assert_eq!(rng.next_u64(), 0x910a_2dec_8902_5cc1);
        let mut id = Vec::new();
        rng.write_uuid(&mut id);
        let text = String::from_utf8(id).unwrap();
        assert_eq!(text.len(), 36);
        assert_eq!(text.as_bytes()[14], b'4', "version 4: {text}");
        assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "variant: {text}");
    }

    /// Bounds hold at their edges.
    #[test]
    fn draws_stay_below_their_bound() {
        let mut rng = Rng::new(7);
        for bound in [1, 2, 3, 1000] {
            for _ in 0..1000 {
                assert!(rng.below(bound) < bound);
                assert!(rng.skewed(bound) < bound);
            }
        }
        let mut out = Vec::new();
        push_number(&mut out, 0);
        push_number(&mut out, u64::MAX);
        assert_eq!(out, b"018446744073709551615");
    }
}
