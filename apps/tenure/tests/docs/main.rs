//! The guides, read by somebody who types every command of them and compares what is printed.
//!
//! Blocks marked `console` are run, in the order of their document and in a folder of its own: `$ ` begins a command, `> `
//! continues it, `^C` interrupts it, everything else must be printed. `...` stands for any text within a line and for any
//! lines where it is alone. A command that fails must be followed by `echo $?`. Further words after `console`:
//!
//! - `terminal=NAME`: the shell stays open, and what it runs last goes on; the next block with this name continues there.
//! - `redis`, `nats`: the document needs a Redis at port 6379, a NATS at port 4222, from here on. Every port of a guide
//!   stands for a free one.
//! - `numbers`: numbers and the width of columns may differ from what the guide shows.
//! - `recorded`: the same, and `DOCS_RECORD=1 cargo test -p tenure-cli --test docs afternoon` puts what is printed today in
//!   the place of what was, and makes a film of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod compare;
mod document;
mod flags;
mod record;
mod session;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use tenure_test_servers::{Nats, NatsOptions, RedisOptions, RedisPrograms, find, nats_program, or_skip};

use crate::document::Document;
use crate::record::Recorder;
use crate::session::Session;

fn main() -> ExitCode {
    let mut trials = vec![
        Trial::test("documents_are_read", || passes(document::documents_are_read)),
        Trial::test("outputs_are_compared", || passes(compare::outputs_are_compared)),
        Trial::test("unknown_flags_are_found", || passes(flags::unknown_flags_are_found)),
        Trial::test("a_wrong_guide_is_found", || passes(a_wrong_guide_is_found)),
        Trial::test("every_documented_flag_exists", every_documented_flag_exists),
    ];
    for path in guides() {
        let name = path.strip_prefix(root()).unwrap_or(&path).with_extension("").display().to_string();
        trials.push(Trial::test(format!("guide::{name}"), move || play(&path)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Plays a document from beginning to end.
fn play(path: &Path) -> Result<(), Failed> {
    let document = Document::read(path);
    // Only on demand, and only what is marked so.
    let wanted = std::env::var_os("DOCS_RECORD").is_some() && document.blocks.iter().any(|block| block.is("recorded"));
    let mut session = Session::new(wanted.then(|| Recorder::new(path)));
    let suite = format!("docs {}", document.name);
    for tool in ["bash", "curl", "jq", "ps"] {
        if or_skip(&suite, true, find(tool, "install the Debian packages bash, curl, jq and procps")).is_none() {
            return Ok(());
        }
    }
    let (mut redis, mut nats) = (None, None);
    for block in &document.blocks {
        if block.is("redis") && redis.is_none() {
            let Some(programs) = or_skip(&suite, true, RedisPrograms::find()) else { return Ok(()) };
            let server = programs.start(RedisOptions::default())?;
            session.set_port(6379, server.port());
            redis = Some(server);
        }
        if block.is("nats") && nats.is_none() {
            let Some(program) = or_skip(&suite, true, nats_program("2.9")) else { return Ok(()) };
            let server = Nats::start(&program, &NatsOptions::default())?;
            session.set_port(4222, server.port());
            nats = Some(server);
        }
        session.play(block).map_err(|why| format!("{}: {why}", document.name))?;
    }
    if let Some(recorder) = session.end() {
        recorder.write()?;
    }
    Ok(())
}

/// Every document that shows the command: no flag and no command in it is made up.
fn every_documented_flag_exists() -> Result<(), Failed> {
    let known = flags::Known::of_the_binary();
    let mut wrong = Vec::new();
    for path in guides().chain([root().join("ARCHITECTURE.md")]) {
        let text = std::fs::read_to_string(&path)?;
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        wrong.extend(known.unknown(&text).into_iter().map(|what| format!("{name}: {what}")));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// Output that differs, a flag that does not exist and an exit code that is kept quiet are found, and nothing is left
/// running.
fn a_wrong_guide_is_found() {
    let outcome = |text: &str| {
        let mut session = Session::new(None);
        document::blocks(text).iter().try_for_each(|block| session.play(block))
    };
    let block = |text: &str| format!("```console\n{text}\n```\n");
    assert_eq!(outcome(&block("$ echo one; echo two\none\n...")), Ok(()));
    assert_eq!(outcome(&block("$ printf x\nx\n$ false\n$ echo $?\n1\n$ true")), Ok(()));
    assert!(outcome(&block("$ echo one\ntwo")).unwrap_err().contains("--- printed\none"));
    assert!(outcome(&block("$ false")).unwrap_err().contains("echo $?"));
    assert!(outcome(&block("$ false\n$ true")).unwrap_err().contains("echo $?"));
    assert!(outcome(&block("$ tenure stores --colour\n...")).unwrap_err().contains("ended with 64"));
    let terminal = |text: &str| format!("```console terminal=1\n{text}\n```\n");
    let both =
        terminal("$ echo one; sleep 1; echo two; sleep 600\none") + &terminal("two") + &terminal("^C\n$ echo $?\n130");
    assert_eq!(outcome(&both), Ok(()));
}

fn passes(test: fn()) -> Result<(), Failed> {
    test();
    Ok(())
}

/// README.md and what is in docs.
fn guides() -> impl Iterator<Item = PathBuf> {
    let folder = std::fs::read_dir(root().join("docs")).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut guides: Vec<_> = folder.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    guides.sort();
    guides.into_iter().chain([root().join("README.md")])
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
