//! A builder that has seen a few lines allocates nothing more.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use tenure_envelope::Builder;

#[path = "support/corpora.rs"]
mod corpora;

/// Lines of every type, odd ones too.
const LINES: [&[u8]; 7] = [
    b"@badges=a/1;emotes=25:0-4/26:6-10;gifs=0-4|a|u?v=w;id=x;msg-param-a=1;room-id=1;some=1;tmi-sent-ts=1763744520000;y=\\s \
      :a!a@a PRIVMSG #room :Kappa Kappa \xc3\xa9\"",
    b"@id=x;msg-id=sub;msg-param-months=1;system-msg=a\\sb;x=1;x=2 :tmi.twitch.tv USERNOTICE #room",
    b"@ban-duration=1;tmi-sent-ts=1763744520000 :tmi.twitch.tv CLEARCHAT #room :a",
    b"@emotes=25:7-11 USERNOTICE room :\x01ACTION Kappa\x01",
    b"@slow=1 :tmi.twitch.tv ROOMSTATE #room",
    b"@id=\xff :a!a@a PRIVMSG #room :\xff\xfe",
    b"PING :tmi.twitch.tv",
];

/// The second pass over the same lines, with the buffers of the first, does not allocate.
#[test]
fn warm_builder_does_not_allocate() {
    assert_eq!(allocations(&LINES.map(<[u8]>::to_vec)), 0);
}

/// Nor does it over captured chat.
#[test]
fn warm_builder_does_not_allocate_over_captured_chat() {
    let Some(lines) = corpora::lines("allocations over the corpora") else { return };
    assert_eq!(allocations(&lines), 0);
}

fn allocations(lines: &[Vec<u8>]) -> u64 {
    let (mut builder, mut out) = (Builder::new(), Vec::new());
    let mut pass = || {
        let mut bytes = 0;
        for line in lines {
            let Ok(message) = tenure_irc::parse(line) else { continue };
            out.clear();
            builder.build(&message, 1_763_744_520_123, &mut out);
            bytes += out.len();
        }
        assert!(bytes > 1000);
    };
    pass();
    allocation_counter::measure(pass).count_total
}
