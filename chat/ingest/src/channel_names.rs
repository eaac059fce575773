//! The names of channels, each kept once however many messages carry it.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;

/// The names that were lately asked for.
#[derive(Debug, Default)]
pub(crate) struct ChannelNames(HashSet<Arc<str>, RandomState>);

/// How many names are kept: more than an instance joins. Beyond that all are forgotten, which costs memory for a while.
const MOST: usize = 4_096;

impl ChannelNames {
    /// The channel's name.
    pub(crate) fn of(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        if self.0.len() >= MOST {
            self.0.clear();
        }
        let name: Arc<str> = name.into();
        self.0.insert(Arc::clone(&name));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Equal names are the same one, and never more than the bound are kept.
    #[test]
    fn names_are_kept_once_and_bounded() {
        let mut names = ChannelNames::default();
        assert!(Arc::ptr_eq(&names.of("a"), &names.of("a")));
        assert_eq!(&*names.of("b"), "b");
        for n in 0..3 * MOST {
            names.of(&n.to_string());
        }
        assert!(names.0.len() <= MOST);
    }
}
