//! Builds the bytes of one envelope from one parsed line.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use tenure_irc::Message;

use crate::anomaly::{Anomalies, Anomaly};
use crate::emotes::Occurrence;
use crate::json::{self, Escaping};
use crate::line_escaping::LineEscaping;
use crate::tags::{Key, Scratch, Values, parse_number};
use crate::time::LATEST_MS;
use crate::{Built, EnvelopeId, Gap, Identity, Kind, header, payload};

/// Builds envelopes. Keeps its buffers, so that after the first few lines it allocates nothing.
#[derive(Debug, Default)]
pub struct Builder {
    scratch: Scratch,
    emotes: Vec<Occurrence>,
}

impl Builder {
    /// A builder with empty buffers.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Appends the envelope of `line` to `out`, without a line end.
    ///
    /// `None`, with nothing appended, where the line is of no type that has an envelope (PING, JOIN, NOTICE, ...) or
    /// names no channel. Never fails otherwise: anomalies are noted in `payload.anomalies`, and `payload.raw` holds the
    /// whole line. Equal lines give equal bytes, except for `payload.receivedAt`, and for `id` and `timestamp` where
    /// the line itself does not say when it was sent.
    pub fn build(&mut self, line: &Message<'_>, received_at_ms: u64, out: &mut Vec<u8>) -> Option<Built> {
        let kind = Kind::of_command(line.command())?;
        let Addressed { channel, hash } = addressed(line, kind)?;
        let text = if hash { line.text() } else { line.params().skip(1).last() };
        let mut anomalies = Anomalies::default();
        anomalies.add_if(!hash, Anomaly::MissingHash);
        let escaping = LineEscaping::of(line);
        anomalies.add_if(escaping.line == Escaping::Repair, Anomaly::InvalidUtf8);
        let values = Values::read(line.tags(), escaping.tags, &mut self.scratch);
        anomalies.add_if(values.doubled, Anomaly::DuplicateTag);
        let sent_ms = sent_ms(&values, kind, &mut anomalies);
        let (id, identity) = identify(line, &values, sent_ms, received_at_ms);
        anomalies
            .add_if(identity != Identity::Derived && matches!(kind, Kind::Message | Kind::Notice), Anomaly::MissingId);
        anomalies.add_if(values.get(Key::RoomId).is_none(), Anomaly::MissingRoomId);

        let timestamp_ms = sent_ms.unwrap_or(received_at_ms);
        out.reserve(3 * line.raw().len() + 1024);
        header::begin(out, id, kind, timestamp_ms);
        header::source(out, channel, escaping.rest, |out| values.write(Key::RoomId, out));
        out.extend_from_slice(header::USER);
        match kind {
            Kind::Message | Kind::Notice => user(line, kind, &values, escaping.rest, out),
            Kind::Moderation | Kind::Room | Kind::Gap => header::nobody(out),
        }
        out.extend_from_slice(header::PAYLOAD);
        let mut parts = payload::Parts {
            line,
            text,
            values: &values,
            escaping,
            scratch: &self.scratch,
            emotes: &mut self.emotes,
            anomalies: &mut anomalies,
        };
        match kind {
            Kind::Message => parts.message(out),
            Kind::Notice => parts.notice(out),
            Kind::Moderation => parts.moderation(out),
            Kind::Room | Kind::Gap => parts.room(out),
        }
        parts.finish(received_at_ms, out);
        Some(Built { id, kind, identity, timestamp_ms })
    }

    /// Appends the envelope of a gap to `out`, without a line end.
    pub fn gap(&mut self, gap: &Gap<'_>, out: &mut Vec<u8>) -> Built {
        gap.write(out)
    }
}

/// The channel of a line that has an envelope, without `#`; empty where it names none, or has none. Copies only where it
/// is not UTF-8.
pub fn channel_of<'a>(line: &Message<'a>) -> Cow<'a, str> {
    let addressed = Kind::of_command(line.command()).and_then(|kind| addressed(line, kind));
    String::from_utf8_lossy(addressed.map_or(&[][..], |addressed| addressed.channel))
}

/// When Twitch sent a line, in milliseconds since 1970; `None` where the line does not say, or names a time that cannot
/// be shown.
pub fn sent_at_ms(line: &Message<'_>) -> Option<u64> {
    line.tags().get(b"tmi-sent-ts").and_then(parse_number).filter(|ms| *ms <= LATEST_MS)
}

/// The channel that a line is addressed to.
struct Addressed<'a> {
    /// The channel without `#`; never empty.
    channel: &'a [u8],
    /// Whether the channel was written with `#`.
    hash: bool,
}

/// The channel of a line; `None` where it names none.
///
/// Lines that only a server sends have been seen with a channel without `#`. A PRIVMSG without `#` goes to a user, not
/// to a channel.
fn addressed<'a>(line: &Message<'a>, kind: Kind) -> Option<Addressed<'a>> {
    if let Some(channel) = line.channel() {
        let channel = channel.get(1..).filter(|channel| !channel.is_empty())?;
        return Some(Addressed { channel, hash: true });
    }
    let is_channel = |name: &&[u8]| core::str::from_utf8(name).is_ok_and(tenure_irc::is_channel_name);
    let channel = line.params().next().filter(|_| kind != Kind::Message).filter(is_channel)?;
    Some(Addressed { channel, hash: false })
}

/// When Twitch sent the line.
fn sent_ms(values: &Values<'_>, kind: Kind, anomalies: &mut Anomalies) -> Option<u64> {
    let Some(digits) = values.get(Key::TmiSentTs) else {
        anomalies.add_if(kind != Kind::Room, Anomaly::MissingTimestamp);
        return None;
    };
    let sent = parse_number(digits).filter(|ms| *ms <= LATEST_MS);
    anomalies.add_if(sent.is_none(), Anomaly::BadTimestamp);
    sent
}

fn identify(
    line: &Message<'_>,
    values: &Values<'_>,
    sent_ms: Option<u64>,
    received_at_ms: u64,
) -> (EnvelopeId, Identity) {
    if let Some(id) = values.get(Key::Id) {
        return (EnvelopeId::derive(&[b"twitch:", &tenure_irc::unescape(id)]), Identity::Derived);
    }
    if sent_ms.is_some() {
        return (EnvelopeId::derive(&[line.raw()]), Identity::Line);
    }
    let mut digits = [0; 20];
    let received = json::decimal(received_at_ms, &mut digits);
    (EnvelopeId::derive(&[line.raw(), b"\0", received]), Identity::Live)
}

/// Writes the user: the id, the login, and the display name, or the login again where there is no display name.
fn user(line: &Message<'_>, kind: Kind, values: &Values<'_>, rest: Escaping, out: &mut Vec<u8>) {
    let nick = line.prefix().filter(|prefix| prefix.user.is_some() || kind == Kind::Message).map(|prefix| prefix.name);
    let login = |out: &mut Vec<u8>| match (nick, values.get(Key::Login)) {
        (Some(nick), _) if !nick.is_empty() => json::text(out, nick, rest),
        _ => values.write(Key::Login, out),
    };
    values.write(Key::UserId, out);
    out.extend_from_slice(b"\",\"name\":\"");
    login(out);
    out.extend_from_slice(b"\",\"displayName\":\"");
    match values.get(Key::DisplayName) {
        Some(_) => values.write(Key::DisplayName, out),
        None => login(out),
    }
}
