//! The type of an envelope, and where its id comes from.

use tenure_irc::Message;

/// The type of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Somebody said something (PRIVMSG).
    Message,
    /// Something happened in a channel, perhaps with a text (USERNOTICE).
    Notice,
    /// A moderator took something away (CLEARCHAT, CLEARMSG).
    Moderation,
    /// The settings of a room (ROOMSTATE).
    Room,
    /// An interval in which nobody read a channel.
    Gap,
}

impl Kind {
    /// The type's name in the envelope's `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Message => "external.chat.message.v1",
            Kind::Notice => "external.chat.notice.v1",
            Kind::Moderation => "external.chat.moderation.v1",
            Kind::Room => "external.chat.room.v1",
            Kind::Gap => "external.chat.gap.v1",
        }
    }

    /// The type of the envelope that a line has, by its command; `None` where it has none.
    pub fn of(line: &Message<'_>) -> Option<Kind> {
        Kind::of_command(line.command())
    }

    pub(crate) fn of_command(command: &[u8]) -> Option<Kind> {
        match command {
            b"PRIVMSG" => Some(Kind::Message),
            b"USERNOTICE" => Some(Kind::Notice),
            b"CLEARCHAT" | b"CLEARMSG" => Some(Kind::Moderation),
            b"ROOMSTATE" => Some(Kind::Room),
            _ => None,
        }
    }
}

/// Where an envelope's id comes from, and so who may publish it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// From Twitch's own id: every reader derives the same.
    Derived,
    /// From the whole line, which holds the moment it was sent: every reader derives the same.
    Line,
    /// From the line and the moment it was received: two readers differ, so only the leader may publish it, live.
    Live,
}
