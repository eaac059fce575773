//! One file per kind of line: what its envelope looks like. `UPDATE_GOLDEN=1` writes them anew.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;
use std::{env, fs};

use tenure_envelope::{Builder, Gap, Identity, Kind};

const RECEIVED_MS: u64 = 1_763_744_520_123;

/// What each line is for, and the line.
const LINES: &[(&str, &[u8])] = &[
    (
        "message",
        b"@badge-info=subscriber/8;badges=subscriber/6,premium/1;color=#AABBCC;display-name=Login;emotes=25:13-17;\
          first-msg=0;flags=;id=0b7c2f5e-1d5d-4d8e-9a53-6a1f0f3f8a01;mod=0;returning-chatter=0;room-id=1337;\
          subscriber=1;tmi-sent-ts=1763744520000;turbo=0;user-id=42;user-type= \
          :login!login@login.tmi.twitch.tv PRIVMSG #my_channel :Hello World! Kappa",
    ),
    (
        "message-action",
        b"@badges=moderator/1;color=;display-name=;emotes=25:0-4,6-10/emotesv2_0a:16-18;id=a;mod=1;room-id=1;\
          subscriber=0;tmi-sent-ts=1763744520000;user-id=42 \
          :login!login@login.tmi.twitch.tv PRIVMSG #room :\x01ACTION Kappa Kappa \xf0\x9f\x98\x80\xc3\xa9\xe2\x80\xa8 wow \x01",
    ),
    (
        "message-reply",
        b"@badges=founder/0,bits/100;bits=100;color=#000000;display-name=\xe7\x8c\xab\\sneko;emotes=;id=b;mod=0;\
          reply-parent-display-name=Other;reply-parent-msg-body=is\\sit\\:\\s\"x\\\\y\"?;reply-parent-msg-id=p;\
          reply-parent-user-id=7;reply-parent-user-login=other;reply-thread-parent-display-name=First;\
          reply-thread-parent-msg-id=t;reply-thread-parent-user-id=8;reply-thread-parent-user-login=first;room-id=1;\
          subscriber=0;tmi-sent-ts=1763744520001;user-id=42 \
          :neko!neko@neko.tmi.twitch.tv PRIVMSG #room :@Other Cheer100 \"yes\" \\o/\t;)",
    ),
    (
        "message-shared",
        b"@badges=;color=#123456;display-name=Login;emotes=;id=c;mod=0;room-id=1;source-badge-info=;\
          source-badges=moderator/1,partner/1;source-id=d;source-only=0;source-room-id=2;subscriber=0;\
          tmi-sent-ts=1763744520002;user-id=42 :login!login@login.tmi.twitch.tv PRIVMSG #room :from elsewhere",
    ),
    (
        "message-lead-moderator-with-a-gif",
        b"@badge-info=;badges=lead_moderator/1;color=;display-name=Login;emotes=25:32-36;gifs=0-30|jo|https://g.example/a.gif\
          ?cid=09&ep=v1&ct=\\:g;id=i;mod=0;room-id=1;subscriber=0;tmi-sent-ts=1763744520009;user-id=42 \
          :login!login@login.tmi.twitch.tv PRIVMSG #room :\x01ACTION [Y A Y Yes GIF by Djemilah \xe2\x80\xa6ie] Kappa\x01",
    ),
    (
        "message-odd",
        b"@badges=/,x;bits=many;color=red;emotes=25:0-1,9-12,30-40/26;gifs=0-1|a;id;room-id=;tmi-sent-ts=yesterday;x=1;x=2 \
          :login!login@login.tmi.twitch.tv PRIVMSG #room :odd \xff lines",
    ),
    (
        "notice",
        b"@badge-info=subscriber/3;badges=subscriber/3;color=#FF0000;display-name=Login;emotes=;id=e;login=login;mod=0;\
          msg-id=resub;msg-param-cumulative-months=3;msg-param-sub-plan=1000;\
          msg-param-sub-plan-name=The\\sPlan;room-id=1;subscriber=1;\
          system-msg=Login\\ssubscribed\\sfor\\s3\\smonths!;tmi-sent-ts=1763744520003;user-id=42 \
          :tmi.twitch.tv USERNOTICE #room :still here",
    ),
    (
        "notice-shared",
        b"@badges=;color=;display-name=Raider;emotes=;id=f;login=raider;mod=0;msg-id=sharedchatnotice;\
          msg-param-viewerCount=12;room-id=1;source-badges=;source-id=g;source-msg-id=raid;source-room-id=2;\
          subscriber=0;system-msg=12\\sraiders;tmi-sent-ts=1763744520004;user-id=43 :tmi.twitch.tv USERNOTICE #room",
    ),
    (
        "notice-modiversary",
        b"@badges=moderator/1;color=;display-name=Login;emotes=25:7-11,23-27;id=j;login=login;mod=1;msg-id=modiversary;\
          msg-param-years=2;room-id=1;subscriber=0;system-msg=2\\syears;tmi-sent-ts=1763744520010;user-id=42 \
          :tmi.twitch.tv USERNOTICE #room :\x01ACTION Kappa TEST TEST Kappa :)\x01",
    ),
    (
        "moderation-without-hash",
        b"@ban-duration=600;room-id=1;target-user-id=44;tmi-sent-ts=1763744520011 :tmi.twitch.tv CLEARCHAT room :rude",
    ),
    (
        "moderation-timeout",
        b"@ban-duration=600;room-id=1;target-user-id=44;tmi-sent-ts=1763744520005 :tmi.twitch.tv CLEARCHAT #room :rude",
    ),
    ("moderation-ban", b"@room-id=1;target-user-id=44;tmi-sent-ts=1763744520006 :tmi.twitch.tv CLEARCHAT #room :rude"),
    ("moderation-clear", b"@room-id=1;tmi-sent-ts=1763744520007 :tmi.twitch.tv CLEARCHAT #room"),
    (
        "moderation-delete",
        b"@login=rude;room-id=;target-msg-id=h;tmi-sent-ts=1763744520008 :tmi.twitch.tv CLEARMSG #room :what was said",
    ),
    (
        "room",
        b"@emote-only=0;followers-only=-1;r9k=1;room-id=1;slow=30;subs-only=0 :tmi.twitch.tv ROOMSTATE #room",
    ),
    ("room-partial", b"@followers-only=10;room-id=1 :tmi.twitch.tv ROOMSTATE #room"),
];

/// Each kind of line has the envelope that its file shows, member by member and in that order.
#[test]
fn envelopes_are_as_their_files_show() {
    let mut builder = Builder::new();
    for (name, line) in LINES {
        let message = tenure_irc::parse(line).unwrap();
        let mut out = Vec::new();
        let built = builder.build(&message, RECEIVED_MS, &mut out).unwrap();
        assert!(name.starts_with(built.kind.as_str().split('.').nth(2).unwrap()), "{name} is {:?}", built.kind);
        check(name, &out);
    }
}

/// A gap's envelope is as its file shows, with everything known and with nothing.
#[test]
fn gaps_are_as_their_files_show() {
    let known = Gap {
        channel: "room",
        channel_id: Some("1"),
        from_ms: 1_763_744_520_000,
        until_ms: 1_763_744_521_500,
        reason: "not_covered",
        uncertain: false,
        leader: "host-1a2b",
        term: Some(1_763_744_521_000_000),
    };
    let unknown = Gap { channel_id: None, reason: "ring_overflow", uncertain: true, leader: "", term: None, ..known };
    let mut builder = Builder::new();
    for (name, gap) in [("gap", known), ("gap-unknown", unknown)] {
        let mut out = Vec::new();
        let built = builder.gap(&gap, &mut out);
        assert_eq!((built.kind, built.identity, built.id), (Kind::Gap, Identity::Derived, known.id()));
        check(name, &out);
    }
}

fn check(name: &str, envelope: &[u8]) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.json"));
    let found = indented(envelope);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &found).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(found, expected, "{name}: run with UPDATE_GOLDEN=1 if this is meant");
}

/// The same JSON with a member per line; keeps order and spelling, which a JSON value would not.
fn indented(json: &[u8]) -> String {
    let mut text = String::new();
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    let json = std::str::from_utf8(json).unwrap();
    let mut previous = ' ';
    for character in json.chars() {
        let (opens, closes) = (matches!(character, '{' | '['), matches!(character, '}' | ']'));
        if !quoted {
            depth -= usize::from(closes);
            let empty = closes && matches!(previous, '{' | '[');
            if (matches!(previous, '{' | '[' | ',') || closes) && !empty && previous != ' ' {
                text.push('\n');
                text.push_str(&"  ".repeat(depth));
            }
            depth += usize::from(opens);
        }
        text.push(character);
        quoted ^= character == '"' && !escaped;
        escaped = quoted && character == '\\' && !escaped;
        // Within a string nothing is a sign.
        previous = if quoted { '"' } else { character };
    }
    text.push('\n');
    text
}
