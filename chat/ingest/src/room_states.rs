//! Room states: which ROOMSTATE lines change something.

use std::collections::HashMap;

use tenure_irc::Message;

/// The settings that a ROOMSTATE carries.
const SETTINGS: [&[u8]; 5] = [b"emote-only", b"followers-only", b"r9k", b"slow", b"subs-only"];

/// The last known settings of each channel, of as many as are joined: what a server says of further ones is ignored.
#[derive(Debug)]
pub(crate) struct RoomStates {
    by_channel: HashMap<Vec<u8>, [Option<Vec<u8>>; SETTINGS.len()]>,
    most: usize,
}

/// The longest value that is compared; Twitch's are a few digits.
const MOST_VALUE: usize = 64;

impl RoomStates {
    /// Knows nothing of any room yet, and will of `most` of them.
    pub(crate) fn new(most: usize) -> Self {
        RoomStates { by_channel: HashMap::new(), most }
    }

    /// Takes note of a ROOMSTATE; true where it changes a setting that was known. The state that comes with a JOIN is
    /// where knowledge begins, not a change.
    pub(crate) fn changed(&mut self, line: &Message<'_>) -> bool {
        let Some(channel) = line.channel() else { return false };
        if self.by_channel.len() >= self.most && !self.by_channel.contains_key(channel) {
            return false;
        }
        let known = self.by_channel.entry(channel.to_vec()).or_default();
        let mut changed = false;
        for tag in line.tags() {
            let Some(at) = SETTINGS.iter().position(|name| *name == tag.key) else { continue };
            let value = tag.value.unwrap_or_default();
            let value = value.get(..MOST_VALUE).unwrap_or(value);
            match &mut known[at] {
                Some(old) if old == value => {}
                Some(old) => {
                    *old = value.to_vec();
                    changed = true;
                }
                unknown => *unknown = Some(value.to_vec()),
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first full state is the beginning; a partial update counts where a value differs.
    #[test]
    fn only_differing_values_are_changes() {
        let mut rooms = RoomStates::new(2);
        let mut say = |text: &str| rooms.changed(&tenure_irc::parse(text.as_bytes()).unwrap());
        assert!(!say("@emote-only=0;followers-only=-1;r9k=0;slow=0;subs-only=0 :tmi.twitch.tv ROOMSTATE #c"));
        assert!(say("@slow=10 :tmi.twitch.tv ROOMSTATE #c"));
        assert!(!say("@slow=10 :tmi.twitch.tv ROOMSTATE #c"));
        assert!(!say("@slow=0 :tmi.twitch.tv ROOMSTATE #d"));
        assert!(!say("@slow=0 :tmi.twitch.tv ROOMSTATE #e"));
        assert!(!say("@slow=9 :tmi.twitch.tv ROOMSTATE #e"), "more rooms than are joined");
    }
}
