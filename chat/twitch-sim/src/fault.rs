//! The faults that the simulator can inject, as data: from code, from the command line and from `POST /fault`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The connections that a fault affects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// All.
    #[default]
    All,
    /// The connection of this number; see `/stats`.
    Id(u64),
    /// The connections that gave this nick.
    Nick(String),
    /// The connection from this address.
    Peer(SocketAddr),
    /// The connections whose client has this local port.
    Port(u16),
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// A TCP reset: data that the kernel had not sent is lost.
    #[default]
    Rst,
    /// An orderly end, after everything that was queued.
    Fin,
}

/// How writes are cut into pieces; each piece is its own TCP segment, and over WebSocket its own frame of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Each line in two pieces; the cut moves on by one byte with each line, so that every offset occurs.
    Walking,
    /// Pieces of this many bytes, at least 1.
    Pieces(usize),
}

/// How a room that is closed meets a JOIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closed {
    /// With the NOTICE `msg_channel_suspended`.
    Suspended,
    /// With nothing, as a name that nobody has any more.
    Renamed,
    /// With the NOTICE `msg_banned`.
    Banned,
}

/// A line that a reader must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OddLine {
    /// A message whose text is not UTF-8.
    InvalidUtf8,
    /// A message of this many bytes, not counting the line end; at most [`OddLine::LONGEST`].
    OverLong(usize),
    /// A message with a NUL in its text.
    Nul,
    /// A command that nobody knows.
    UnknownCommand,
    /// A message with tags that nobody knows.
    UnknownTag,
    /// A message without an id.
    NoId,
    /// A message with neither an id nor the time when it was sent.
    NoIdentity,
    /// A CLEARCHAT that names its channel without `#`.
    NoHash,
    /// A message that names no channel.
    NoChannel,
    /// A line with tags and no command.
    NoCommand,
}

impl OddLine {
    /// The longest line that is sent.
    pub const LONGEST: usize = 1 << 20;
}

/// A fault. Faults with `for_ms` are standing: they also hold for connections that match later, until the time is over
/// or [`Fault::Heal`] comes; without `for_ms` they stand until healed. The other faults happen once, to the connections
/// open now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Fault {
    /// Ends connections.
    Cut {
        /// The connections.
        #[serde(default)]
        select: Select,
        /// How.
        #[serde(default)]
        how: Cut,
    },
    /// Stops reading and sending but keeps the socket: no FIN, no RST. After `for_ms` the socket is reset.
    HalfOpen {
        /// The connections.
        #[serde(default)]
        select: Select,
        /// For how long; for ever where not given.
        #[serde(default)]
        for_ms: Option<u64>,
    },
    /// No chat while PINGs and PONGs still flow. The lines are lost to these connections.
    Stall {
        /// The connections.
        #[serde(default)]
        select: Select,
        /// How many milliseconds the fault stands; `None` until healed.
        #[serde(default)]
        for_ms: Option<u64>,
    },
    /// The reverse of `Stall`: chat flows, but PINGs of the client stay unanswered.
    MutePongs {
        /// The connections.
        #[serde(default)]
        select: Select,
        /// How many milliseconds the fault stands; `None` until healed.
        #[serde(default)]
        for_ms: Option<u64>,
    },
    /// Sends RECONNECT, and ends the connection in an orderly way after the grace.
    Reconnect {
        /// The connections.
        #[serde(default)]
        select: Select,
        /// How long the connection still lives.
        #[serde(default)]
        grace_ms: u64,
    },
    /// Cuts what is written into pieces.
    Split {
        /// The connections.
        #[serde(default)]
        select: Select,
        /// How.
        how: Split,
        /// The pause between two pieces; without one the kernel may join them again.
        #[serde(default = "one")]
        pause_ms: u64,
        /// How many milliseconds the fault stands; `None` until healed.
        #[serde(default)]
        for_ms: Option<u64>,
    },
    /// Sends every `every`-th line twice.
    Duplicate {
        /// The connections.
        #[serde(default)]
        select: Select,
        /// The interval, counted by the lines' numbers in the ledger.
        every: u32,
        /// How many milliseconds the fault stands; `None` until healed.
        #[serde(default)]
        for_ms: Option<u64>,
    },
    /// Sends every `every`-th line of the connection after the line that follows it, or 200 ms later where none
    /// follows.
    Reorder {
        /// The connections.
        #[serde(default)]
        select: Select,
        /// The interval, counted in lines.
        every: u32,
        /// How many milliseconds the fault stands; `None` until healed.
        #[serde(default)]
        for_ms: Option<u64>,
    },
    /// Never sends the lines whose number in the ledger modulo `every` is `offset`. The default offset is the
    /// connection's own number, so that two readers miss different lines.
    Drop {
        /// The connections.
        #[serde(default)]
        select: Select,
        /// The interval, counted in lines.
        every: u32,
        /// The remainder of the lines that are not sent.
        #[serde(default)]
        offset: Option<u32>,
        /// How many milliseconds the fault stands; `None` until healed.
        #[serde(default)]
        for_ms: Option<u64>,
    },
    /// Silently ignores every `every`-th room that a connection asks to join.
    PartialJoin {
        /// The connections.
        #[serde(default)]
        select: Select,
        /// The interval; 1 ignores every room.
        every: u32,
        /// How many milliseconds the fault stands; `None` until healed.
        #[serde(default)]
        for_ms: Option<u64>,
    },
    /// Removes connections from a room, as a ban does.
    Part {
        /// The connections.
        #[serde(default)]
        select: Select,
        /// The room, without `#`.
        channel: String,
    },
    /// Closes a room: who is in it is removed, and nobody can join it until it is opened again, healed, or `for_ms` is over.
    CloseRoom {
        /// The room, without `#`.
        channel: String,
        /// How it meets a JOIN.
        how: Closed,
        /// For how long; until opened or healed where not given.
        #[serde(default)]
        for_ms: Option<u64>,
    },
    /// Opens a room that is closed, also one that was from the start.
    OpenRoom {
        /// The room, without `#`.
        channel: String,
    },
    /// Sends an odd line to a room. It is in the ledger.
    Odd {
        /// The room, without `#`.
        channel: String,
        /// What is odd.
        line: OddLine,
    },
    /// Resets new connections at once.
    Refuse {
        /// How many milliseconds the fault stands.
        for_ms: u64,
    },
    /// Accepts new TLS connections and never answers the handshake; they are reset when the time is over.
    TlsStall {
        /// How many milliseconds the fault stands.
        for_ms: u64,
    },
    /// The account can no longer log in; open connections stay.
    ExpireLogin {
        /// The account's login.
        nick: String,
    },
    /// Shifts `tmi-sent-ts` of all lines from now on against the true time; 0 heals.
    ClockSkew {
        /// The shift, forwards where positive.
        ms: i64,
    },
    /// Ends the standing faults with this selection, and with [`Select::All`] also all faults that are not about
    /// connections, closed rooms among them. Half-open connections stay half-open.
    Heal {
        /// Which; a standing fault ends where its own selection is the same.
        #[serde(default)]
        select: Select,
    },
}

fn one() -> u64 {
    1
}

impl Fault {
    /// Checks the fault's numbers; the error says in words what is wrong.
    pub fn check(&self) -> Result<(), String> {
        let every = match self {
            Fault::Duplicate { every, .. }
            | Fault::Reorder { every, .. }
            | Fault::Drop { every, .. }
            | Fault::PartialJoin { every, .. } => *every,
            Fault::Split { how: Split::Pieces(0), .. } => return Err("pieces: must be at least 1 byte".to_owned()),
            Fault::Odd { line: OddLine::OverLong(bytes), .. } if !(600..=OddLine::LONGEST).contains(bytes) => {
                return Err(format!("over_long: must be 600 to {} bytes", OddLine::LONGEST));
            }
            _ => 1,
        };
        if every == 0 { Err("every: must be at least 1".to_owned()) } else { Ok(()) }
    }
}

/// The immediate effect of a fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FaultOutcome {
    /// How many open connections the fault affected.
    pub matched: usize,
}

/// The standing faults of one connection, combined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    pub(crate) stalled: bool,
    pub(crate) mute_pongs: bool,
    pub(crate) split: Option<(Split, u64)>,
    pub(crate) duplicate_every: Option<u32>,
    pub(crate) reorder_every: Option<u32>,
    /// The `every` and `offset` of each drop fault.
    pub(crate) drop: Vec<(u32, u32)>,
    pub(crate) partial_join_every: Option<u32>,
}

impl Effects {
    /// Adds a standing fault for the connection of this number.
    pub(crate) fn add(&mut self, fault: &Fault, connection: u64) {
        match fault {
            Fault::Stall { .. } => self.stalled = true,
            Fault::MutePongs { .. } => self.mute_pongs = true,
            Fault::Split { how, pause_ms, .. } => self.split = Some((*how, *pause_ms)),
            Fault::Duplicate { every, .. } => self.duplicate_every = Some(*every),
            Fault::Reorder { every, .. } => self.reorder_every = Some(*every),
            Fault::Drop { every, offset, .. } => {
                let own = (connection % u64::from((*every).max(1))) as u32;
                self.drop.push((*every, offset.unwrap_or(own) % (*every).max(1)));
            }
            Fault::PartialJoin { every, .. } => self.partial_join_every = Some(*every),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The JSON of the documentation is understood, defaults and all; what is misspelt is refused.
    #[test]
    fn faults_read_from_json() {
        let read = |text| serde_json::from_str::<Fault>(text);
        assert_eq!(read(r#"{"fault":"cut"}"#).unwrap(), Fault::Cut { select: Select::All, how: Cut::Rst });
        assert_eq!(
            read(r#"{"fault":"drop","select":{"nick":"justinfan7"},"every":5}"#).unwrap(),
            Fault::Drop { select: Select::Nick("justinfan7".into()), every: 5, offset: None, for_ms: None }
        );
        assert_eq!(
            read(r#"{"fault":"close_room","channel":"c","how":"renamed"}"#).unwrap(),
            Fault::CloseRoom { channel: "c".into(), how: Closed::Renamed, for_ms: None }
        );
        assert_eq!(
            read(r#"{"fault":"odd","channel":"c","line":{"over_long":20000}}"#).unwrap(),
            Fault::Odd { channel: "c".into(), line: OddLine::OverLong(20_000) }
        );
        assert!(read(r#"{"fault":"cut","hwo":"rst"}"#).is_err());
        assert!(read(r#"{"fault":"nothing"}"#).is_err());
        assert!(read(r#"{"fault":"drop","every":0}"#).unwrap().check().is_err());
    }

    /// Two connections miss different lines where no offset is given.
    #[test]
    fn readers_miss_different_lines() {
        let fault = Fault::Drop { select: Select::All, every: 5, offset: None, for_ms: None };
        let (mut first, mut second) = (Effects::default(), Effects::default());
        first.add(&fault, 1);
        second.add(&fault, 2);
        assert_eq!((first.drop, second.drop), (vec![(5, 1)], vec![(5, 2)]));
    }
}
