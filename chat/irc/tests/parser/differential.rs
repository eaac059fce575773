//! The same lines through `tmi`, a parser written for speed on what Twitch sends today. Where the two disagree, one of the
//! documented differences must apply, and then only the part that it concerns is left out.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tenure_irc::{Message, ParseErrorKind, parse};
use tmi::IrcMessageRef;

use crate::corpora;

/// The closed list of differences; ours is what the IRC documents say, tmi's a shortcut for Twitch's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    /// Tags or a prefix that nothing follows: we refuse the line, tmi takes `@...` or `:...` for the command.
    SectionWithoutEnd,
    /// Several spaces between parts: one separator for us (RFC 1459), an empty part for tmi.
    RunOfSpaces,
    /// A tag without `=`: a tag for us, for tmi the beginning of the next key, or nothing at the end.
    TagWithoutValue,
    /// A prefix that is not `host`, `nick@host` or `nick!user@host`: tmi never reads a nick without a host.
    OddPrefix,
    /// A channel written with a colon (`JOIN :#c`): a parameter like any other for us, text for tmi.
    ChannelAsTrailing,
    /// Numbers 353 and 366: tmi looks for the channel among the later parameters.
    ChannelOfNames,
}

/// Compares every part of one line; gives the differences that were met.
fn compare(line: &str) -> Vec<Difference> {
    let ours = parse(line.as_bytes());
    let line = line.trim_end_matches(['\r', '\n']);
    let theirs = IrcMessageRef::parse(line);
    let (ours, theirs) = match (ours, theirs) {
        (Ok(ours), Some(theirs)) => (ours, theirs),
        (Err(_), None) => return Vec::new(),
        (Err(error), Some(theirs)) => {
            let section =
                matches!(error.kind, ParseErrorKind::TagsWithoutCommand | ParseErrorKind::PrefixWithoutCommand);
            let taken = theirs.command().as_str().starts_with(['@', ':']);
            assert!(section && taken, "only tmi takes {line:?}: {error}");
            return vec![Difference::SectionWithoutEnd];
        }
        (Ok(ours), None) => {
            assert!(has_run_of_spaces(&ours), "tmi refuses {line:?}");
            return vec![Difference::RunOfSpaces];
        }
    };
    if has_run_of_spaces(&ours) {
        return vec![Difference::RunOfSpaces];
    }

    let mut met = Vec::new();
    let section = ours.tags().raw();
    if !section.is_empty() && section.split(|&byte| byte == b';').any(|tag| !tag.contains(&b'=')) {
        met.push(Difference::TagWithoutValue);
    } else {
        let our_tags: Vec<_> = ours.tags().map(|tag| (tag.key, tag.value.unwrap())).collect();
        let their_tags: Vec<_> = theirs.tags().map(|(key, value)| (key.as_bytes(), value.as_bytes())).collect();
        assert_eq!(our_tags, their_tags, "tags of {line:?}");
    }

    let prefix = ours.prefix();
    if prefix.is_some_and(|prefix| is_odd(prefix.raw)) {
        met.push(Difference::OddPrefix);
    } else {
        let ours = prefix.map(|prefix| (prefix.name, prefix.user, prefix.host));
        let theirs = theirs.prefix().map(|prefix| match prefix.nick {
            Some(nick) => (nick.as_bytes(), prefix.user.map(str::as_bytes), Some(prefix.host.as_bytes())),
            None => (prefix.host.as_bytes(), None, None),
        });
        assert_eq!(ours, theirs, "prefix of {line:?}");
    }

    assert_eq!(ours.command(), theirs.command().as_str().as_bytes(), "command of {line:?}");

    let mut our_params = ours.params();
    let as_trailing = ours.channel().is_some() && ours.params().count() == 1 && ours.trailing().is_some();
    if matches!(ours.command(), b"353" | b"366") {
        met.push(Difference::ChannelOfNames);
    } else if as_trailing {
        assert_eq!(theirs.channel(), None, "channel of {line:?}");
        met.push(Difference::ChannelAsTrailing);
    } else {
        assert_eq!(ours.channel(), theirs.channel().map(str::as_bytes), "channel of {line:?}");
    }
    if ours.channel().is_some() && !as_trailing {
        our_params.next();
    }
    let our_params: Vec<_> = our_params.collect();
    assert_eq!(our_params, split(theirs.params().unwrap_or_default()), "parameters of {line:?}");
    met
}

/// Whether two spaces stand together between any parts up to the channel, or after it.
fn has_run_of_spaces(message: &Message<'_>) -> bool {
    let raw = message.raw();
    let last = message.channel().unwrap_or(message.command());
    // Spaces in the text are the text's own, so only the two bytes after the last of these parts count.
    let end = last.as_ptr() as usize - raw.as_ptr() as usize + last.len() + 2;
    raw[..end.min(raw.len())].windows(2).any(|two| two == b"  ")
}

fn is_odd(prefix: &[u8]) -> bool {
    let place = |wanted: u8| prefix.iter().position(|&byte| byte == wanted);
    let count = |wanted: u8| prefix.iter().filter(|&&byte| byte == wanted).count();
    match (place(b'!'), place(b'@')) {
        (None, None) => false,
        (None, Some(_)) => count(b'@') > 1,
        (Some(_), None) => true,
        (Some(user), Some(host)) => host < user || count(b'!') > 1 || count(b'@') > 1,
    }
}

/// tmi leaves the parameters after the channel in one piece.
fn split(params: &str) -> Vec<&[u8]> {
    let mut split = Vec::new();
    let mut rest = params.trim_start_matches(' ');
    while !rest.is_empty() {
        if let Some(trailing) = rest.strip_prefix(':') {
            split.push(trailing.as_bytes());
            break;
        }
        let (param, after) = rest.split_once(' ').unwrap_or((rest, ""));
        split.push(param.as_bytes());
        rest = after.trim_start_matches(' ');
    }
    split
}

/// Every captured line comes out the same from both parsers, but for the listed differences.
#[test]
fn captured_lines_come_out_as_from_tmi() {
    let Some(lines) = corpora::lines("parser/differential") else { return };
    let mut met = BTreeMap::<Difference, usize>::new();
    let mut same = 0;
    for (file, number, line) in &lines {
        let line = std::str::from_utf8(line).unwrap_or_else(|error| panic!("{file}:{number}: {error}"));
        let differences = compare(line);
        same += usize::from(differences.is_empty());
        for difference in differences {
            *met.entry(difference).or_default() += 1;
        }
    }
    println!("{same} of {} lines the same; differences {met:?}", lines.len());
    assert!(same * 10 > lines.len() * 9, "only {same} of {} lines are the same", lines.len());
}

/// Each difference of the list exists: a list that holds more than that would hide mistakes.
#[test]
fn each_listed_difference_is_real() {
    for (line, difference) in [
        ("@a=b", Difference::SectionWithoutEnd),
        (":nick", Difference::SectionWithoutEnd),
        ("PRIVMSG  #c :x", Difference::RunOfSpaces),
        ("@a;b=c PING", Difference::TagWithoutValue),
        (":nick!user PING", Difference::OddPrefix),
        ("JOIN :#c", Difference::ChannelAsTrailing),
        (":s 353 me = #c :me", Difference::ChannelOfNames),
    ] {
        assert_eq!(compare(line), [difference], "{line}");
    }
}

fn generated_line() -> impl Strategy<Value = String> {
    let tag = "[a-z-]{0,9}(=([a-z0-9=,/:\\\\#\u{e9}\u{1f600}]{0,40}))?";
    let tags = prop::collection::vec(tag, 0..40).prop_map(|tags| format!("@{} ", tags.join(";")));
    let prefix = ":[a-z.!@]{0,20} ";
    let command = "PRIVMSG|CLEARCHAT|353|366|[A-Za-z0-9@:#]{0,5}";
    let middle = " [a-z#:=]{1,12}";
    let line = (
        prop::option::of(tags),
        prop::option::of(prefix),
        command,
        prop::collection::vec(middle, 0..4),
        prop::option::of(" :[ a-z:#\u{e9}\u{e0000}\0\t]{0,30}"),
    );
    let line = line.prop_map(|(tags, prefix, command, middles, trailing)| {
        [tags.unwrap_or_default(), prefix.unwrap_or_default(), command, middles.concat(), trailing.unwrap_or_default()]
            .concat()
    });
    prop_oneof![4 => line, 1 => "[ @:;=!#\\\\ab\0\u{e9}]{0,40}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    /// Generated lines, sound and broken, come out the same from both parsers, but for the listed differences.
    #[test]
    fn generated_lines_come_out_as_from_tmi(line in generated_line()) {
        compare(&line);
    }
}
