//! Compares what was printed with what a guide says: `...` stands for anything, alone for any lines.

/// How many of the printed lines `expected` covers: the fewest from the start on; `None` where it does not fit.
///
/// With `loosely`, numbers equal any numbers: what was recorded once is compared with what happens today.
pub(crate) fn covered(expected: &[String], printed: &[String], loosely: bool) -> Option<usize> {
    let Some((first, rest)) = expected.split_first() else { return Some(0) };
    if first.trim() == "..." {
        return (0..=printed.len()).find_map(|skip| Some(skip + covered(rest, &printed[skip..], loosely)?));
    }
    let (line, others) = printed.split_first()?;
    let fits = match loosely {
        false => fits(first.trim_end(), line.trim_end()),
        true => fits(&without_numbers(first), &without_numbers(line)),
    };
    if fits { Some(1 + covered(rest, others, loosely)?) } else { None }
}

/// Whether `expected` covers all of the printed lines.
pub(crate) fn equal(expected: &[String], printed: &[String], loosely: bool) -> bool {
    // An end that can never come makes a trailing `...` reach as far as it must.
    let end = ["\u{1}end".to_owned()];
    covered(&[expected, &end].concat(), &[printed, &end].concat(), loosely).is_some()
}

/// Whether the line fits, with `...` for anything within it.
fn fits(expected: &str, line: &str) -> bool {
    match expected.split_once("...") {
        None => expected == line,
        Some((before, after)) => line.strip_prefix(before).is_some_and(|line| {
            let starts = line.char_indices().map(|(at, _)| at).chain([line.len()]);
            starts.into_iter().any(|at| fits(after, &line[at..]))
        }),
    }
}

/// The line with each number as `#`, and each run of spaces as one, for columns are as wide as what is in them.
fn without_numbers(line: &str) -> String {
    let mut out = String::new();
    for c in line.trim_end().chars() {
        match c {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            // Parts of one number.
            '.' if out.ends_with('#') => {}
            ' ' if out.ends_with(' ') => {}
            c => out.push(c),
        }
    }
    // A duration may be short enough for another unit.
    out.replace("#ms", "#s")
}

/// Wildcards reach as far as they must and no further; a wrong line, a missing one and one too many are found.
pub(crate) fn outputs_are_compared() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let same = |expected: &str, printed: &str| equal(&lines(expected), &lines(printed), false);
    assert!(same("a\nb", "a\nb") && !same("a", "a\nb") && !same("a\nb", "a") && !same("a", "b"));
    assert!(same("...", "") && same("...", "a\nb") && same("a\n...\nc", "a\nb\nb\nc") && !same("a\n...\nc", "a\nb"));
    assert!(same("term ... held", "term 17 held") && !same("term ... held", "term 17"));
    assert_eq!(covered(&lines("a\n...\nc"), &lines("a\nc\nc\nd"), false), Some(2));
    assert_eq!(covered(&lines("a"), &lines(""), false), None);
    assert!(equal(&lines("KEY   TERM\nk  17.5s"), &lines("KEY TERM\nk     3s"), true));
    assert!(equal(&lines("after 870ms"), &lines("after 1.5s"), true));
    assert!(!equal(&lines("k 17"), &lines("j 17"), true));
}
