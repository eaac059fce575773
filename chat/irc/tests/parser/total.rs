//! Arbitrary bytes: a message whose parts lie inside the line and in order, or an error inside the line.

use proptest::prelude::*;
use tenure_irc::{LineSplitter, Piece, Prefix, assemble, escape, parse, unescape};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let telling = prop::sample::select(b" @:;=!#\\\r\n\0ab\xff".to_vec());
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        prop::collection::vec(telling, 0..300),
        prop::collection::vec(any::<u8>(), 0..300)
            .prop_map(|text| [b"@a=", &text[..], b" :n PRIVMSG #c :", &text].concat()),
    ]
}

/// The part's place in the line. Also shows that the part is borrowed from the line.
fn place(line: &[u8], part: &[u8]) -> (usize, usize) {
    let start = (part.as_ptr() as usize).checked_sub(line.as_ptr() as usize).expect("the part starts in the line");
    assert!(start + part.len() <= line.len(), "the part ends in the line");
    (start, start + part.len())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    /// No bytes make the parser panic; parts are borrowed from the line and follow one another; errors lie inside.
    #[test]
    fn any_bytes_give_a_message_or_an_error_inside_the_line(line in bytes()) {
        match parse(&line) {
            Ok(message) => {
                let mut at = 0;
                let mut follows = |part: &[u8]| {
                    if part.is_empty() {
                        return;
                    }
                    let (start, end) = place(&line, part);
                    assert!(start >= at, "parts follow one another");
                    at = end;
                };
                for tag in message.tags() {
                    follows(tag.key);
                    follows(tag.value.unwrap_or_default());
                }
                if let Some(prefix) = message.prefix() {
                    follows(prefix.name);
                    follows(prefix.user.unwrap_or_default());
                    follows(prefix.host.unwrap_or_default());
                }
                follows(message.command());
                message.params().for_each(follows);
                assert!(!message.command().is_empty());
                let _ = (message.channel(), message.text(), message.trailing(), message.tags().get(b"a"));
            }
            Err(error) => assert!(error.at <= line.len()),
        }
    }

    /// Escaped values come back, and any raw value can be unescaped.
    #[test]
    fn escapes_come_back(value in bytes()) {
        let mut escaped = Vec::new();
        escape(&value, &mut escaped);
        prop_assert_eq!(&*unescape(&escaped), &value[..]);
        prop_assert!(unescape(&value).len() <= value.len());
    }

    /// What is assembled parses back into the same parts; what cannot come back is refused.
    #[test]
    fn assembled_lines_parse_back(
        key in bytes(), value in bytes(), prefix in prop::option::of(bytes()), command in "[A-Z]{1,9}",
        params in prop::collection::vec(bytes(), 0..4),
    ) {
        let params: Vec<&[u8]> = params.iter().map(|param| &param[..]).collect();
        if let Ok(line) = assemble(&[(&key, &value)], prefix.as_deref(), command.as_bytes(), &params) {
            let message = parse(&line).unwrap();
            let read = message.tags().get(&key).map(unescape);
            prop_assert_eq!(read.as_deref(), Some(&value[..]));
            prop_assert_eq!(message.prefix().map(|prefix| prefix.raw), prefix.as_deref());
            prop_assert_eq!(message.command(), command.as_bytes());
            prop_assert_eq!(message.params().collect::<Vec<_>>(), params);
            prop_assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
        }
    }

    /// Any source gives a prefix.
    #[test]
    fn any_source_gives_a_prefix(source in bytes()) {
        prop_assert_eq!(Prefix::new(&source).raw, &source[..]);
    }

    /// Any stream in any pieces gives the lines between its line ends, without the empty ones.
    #[test]
    fn any_stream_gives_its_lines(stream in bytes(), piece in 1usize..50) {
        let mut splitter = LineSplitter::new();
        let mut lines = Vec::new();
        for piece in stream.chunks(piece) {
            let mut at = 0;
            while let (Some(Piece::Line(line) | Piece::TooLong(line)), taken) = splitter.take(&piece[at..]) {
                lines.push(line.to_vec());
                at += taken;
            }
        }
        let mut expected: Vec<&[u8]> = stream.split(|&byte| byte == b'\n').collect();
        expected.pop();
        let expected: Vec<&[u8]> = expected.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
        let expected: Vec<&[u8]> = expected.into_iter().filter(|line| !line.is_empty()).collect();
        prop_assert_eq!(lines, expected);
    }
}
