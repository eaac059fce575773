//! The text of one message, with the places of its emotes counted in code points.

use crate::chat::vocabulary::{Emote, FOREIGN_WORDS, WORDS};
use crate::random::{Rng, push_number};

/// A text under construction; reused from line to line.
#[derive(Debug, Default)]
pub(crate) struct Text {
    bytes: Vec<u8>,
    /// Code points so far.
    points: usize,
    /// The emote's index, its first and its last code point.
    emotes: Vec<(usize, usize, usize)>,
}

impl Text {
    /// Generates a message with the measured lengths: most are a word or two, a quarter are long walls of repeats.
    pub(crate) fn generate(&mut self, rng: &mut Rng, emotes: &[Emote], mention: Option<&str>) {
        self.bytes.clear();
        self.emotes.clear();
        self.points = 0;
        if let Some(name) = mention {
            self.push("@");
            self.push(name);
            self.push(" ");
        }
        let foreign = rng.per_mille(80);
        match rng.below(100) {
            0..48 => self.push_words(rng, emotes, 1, 3),
            48..70 => self.push_words(rng, emotes, 3, 10),
            70..94 => self.push_wall(rng, emotes, 20, 30),
            _ => self.push_wall(rng, emotes, 5, 20),
        }
        if foreign {
            self.push(" ");
            let word = rng.pick(&FOREIGN_WORDS);
            self.push(word);
        }
        if rng.per_mille(100) {
            // Chat clients append this so that the same text twice is not refused as a duplicate.
            self.push(" \u{E0000}");
        }
    }

    fn push_words(&mut self, rng: &mut Rng, emotes: &[Emote], least: usize, below: usize) {
        let count = least + rng.below(below - least);
        for at in 0..count {
            if at > 0 {
                self.push(" ");
            }
            if rng.per_mille(220) {
                self.push_emote(emotes, rng.below(emotes.len()));
            } else {
                let word = rng.pick(&WORDS);
                self.push(word);
            }
        }
    }

    fn push_wall(&mut self, rng: &mut Rng, emotes: &[Emote], least: usize, below: usize) {
        let emote = rng.below(emotes.len());
        let word = rng.pick(&WORDS);
        let with_emote = rng.per_mille(600);
        for at in 0..least + rng.below(below - least) {
            if at > 0 {
                self.push(" ");
            }
            if with_emote && at % 2 == 0 {
                self.push_emote(emotes, emote);
            } else {
                self.push(word);
            }
        }
    }

    fn push(&mut self, part: &str) {
        self.bytes.extend_from_slice(part.as_bytes());
        self.points += part.chars().count();
    }

    fn push_emote(&mut self, emotes: &[Emote], at: usize) {
        let first = self.points;
        self.push(emotes[at].name);
        self.emotes.push((at, first, self.points - 1));
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends the value of the `emotes` tag: grouped by emote, in the order of the first occurrence.
    pub(crate) fn write_emotes(&self, out: &mut Vec<u8>, emotes: &[Emote]) {
        for (nth, (emote, _, _)) in self.emotes.iter().enumerate() {
            if self.emotes[..nth].iter().any(|(earlier, _, _)| earlier == emote) {
                continue;
            }
            if nth > 0 {
                out.push(b'/');
            }
            out.extend_from_slice(emotes[*emote].id.as_bytes());
            let mut before = b':';
            for (_, first, last) in self.emotes[nth..].iter().filter(|(other, _, _)| other == emote) {
                out.push(before);
                push_number(out, *first as u64);
                out.push(b'-');
                push_number(out, *last as u64);
                before = b',';
            }
        }
    }
}
