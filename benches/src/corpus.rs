//! The lines that the benchmarks run on: captured chat, shuffled with a seed and repeated.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result, bail};

/// How many lines a corpus has before it repeats.
pub(crate) const LINES: usize = 32_768;
/// How many lines a chunk has; a batch ends only between chunks.
pub(crate) const CHUNK: usize = 2_048;
const SEED: u64 = 2_020;

/// Lines in one piece of memory, in the order in which they are measured.
#[derive(Debug)]
pub(crate) struct Corpus {
    text: String,
    ends: Vec<usize>,
}

impl Corpus {
    /// Shuffles the lines, and repeats them in new orders until there are [`LINES`].
    pub(crate) fn of(distinct: &[String]) -> Result<Self> {
        if distinct.is_empty() {
            bail!("no line is left to measure");
        }
        let (mut text, mut ends) = (String::new(), Vec::with_capacity(LINES));
        let mut random = SplitMix(SEED);
        let mut order: Vec<usize> = (0..distinct.len()).collect();
        while ends.len() < LINES {
            for last in (1..order.len()).rev() {
                let other = random.next() % (last as u64 + 1);
                order.swap(last, usize::try_from(other)?);
            }
            for &at in order.iter().take(LINES - ends.len()) {
                text.push_str(&distinct[at]);
                ends.push(text.len());
            }
        }
        Ok(Self { text, ends })
    }

    /// One chunk; chunks repeat from the first.
    pub(crate) fn chunk(&self, number: usize) -> impl Iterator<Item = &str> {
        let from = number % (LINES / CHUNK) * CHUNK;
        (from..from + CHUNK).map(|at| self.line(at))
    }

    /// Every line once, in order.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).map(|at| self.line(at))
    }

    /// The mean length of a line in bytes.
    pub(crate) fn mean_len(&self) -> usize {
        self.text.len() / self.ends.len()
    }

    fn line(&self, at: usize) -> &str {
        let from = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[from..self.ends[at]]
    }
}

/// Every different line of the corpora that is UTF-8, in the order of the files.
///
/// # Errors
/// Where the corpora are not there; the error says how to name them.
pub(crate) fn distinct_lines() -> Result<Vec<String>> {
    let folder = env::var_os("TENURE_CORPORA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora"), PathBuf::from);
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder)
        .with_context(|| format!("no corpora at {}: set TENURE_CORPORA to their folder", folder.display()))?
    {
        let sub = entry?.path();
        if sub.is_dir() {
            for file in fs::read_dir(&sub)? {
                files.push(file?.path());
            }
        }
    }
    files.retain(|path| path.to_string_lossy().ends_with(".lines.txt"));
    files.sort();
    let mut lines = Vec::new();
    for file in files {
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        for line in bytes.split(|&byte| byte == b'\n') {
            if let Ok(line) = std::str::from_utf8(line)
                && !line.trim().is_empty()
            {
                lines.push(line.trim_end_matches('\r').to_owned());
            }
        }
    }
    Ok(lines)
}

/// A small generator whose numbers are the same on every machine (Steele, Lea and Flood's SplitMix64).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line comes up, equally often within one, and always in the same order.
    #[test]
    fn a_corpus_repeats_its_lines_in_a_fixed_order() {
        let distinct: Vec<String> = (0..100).map(|number| format!("line {number}")).collect();
        let (one, other) = (Corpus::of(&distinct).unwrap(), Corpus::of(&distinct).unwrap());
        assert!(one.lines().eq(other.lines()));
        assert_eq!(one.lines().count(), LINES);
        for line in &distinct {
            let count = one.lines().filter(|other| other == line).count();
            assert!(count.abs_diff(LINES / 100) <= 1, "{line}: {count}");
        }
        assert!(one.chunk(0).eq(one.chunk(LINES / CHUNK)));
    }
}
