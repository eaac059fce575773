//! The operator's commands that look: leases, fence check, doctor, stores, completions, and the help of all.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tenure_store::{Bound, BoundClaim, Claim, Claimed, Held, HolderId, LeaseKey, LeaseStore, Nonce, Note, Term};
use tenure_test_servers::{Nats, NatsLogin, NatsOptions, RedisOptions, RedisPrograms, nats_program, or_skip};

use crate::fleet::tenure;

/// A store of one test, and leases that the test itself holds in it.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) url: String,
}

impl Place {
    pub(crate) fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("leases.db").display());
        Place { folder, url }
    }

    pub(crate) async fn store(&self) -> std::sync::Arc<dyn LeaseStore> {
        tenure_open::open(&self.url).await.unwrap()
    }

    /// Holds a key as somebody who does nothing more about it.
    pub(crate) async fn hold(&self, key: &str, holder: &str, ttl: Duration, note: &str) -> Held {
        let claim = Claim {
            note: Note::new(note).unwrap(),
            ..Claim::new(
                LeaseKey::new(key).unwrap(),
                HolderId::new(holder).unwrap(),
                Nonce { process: 7, campaign: 1 },
                ttl,
            )
        };
        let answer = self.store().await.acquire(std::slice::from_ref(&claim)).await.unwrap().remove(0).unwrap();
        match answer {
            Claimed::Granted { term, .. } => Held { key: claim.key, nonce: claim.nonce, term, ttl, note: claim.note },
            held => panic!("{key} is held already: {held:?}"),
        }
    }

    /// Holds a key that nobody has held, bound to term 7 of this member.
    pub(crate) async fn hold_bound(&self, key: &str, holder: &str, member: &str) -> Held {
        let to = Bound { member: LeaseKey::new(member).unwrap(), term: Term::new(7).unwrap() };
        let (key, holder) = (LeaseKey::new(key).unwrap(), HolderId::new(holder).unwrap());
        let claim = Claim::new(key, holder, Nonce { process: 7, campaign: 1 }, Duration::from_secs(1));
        let claim = Claim { bound: Some(BoundClaim { to, last_term: None }), ..claim };
        match self.store().await.acquire(std::slice::from_ref(&claim)).await.unwrap().remove(0).unwrap() {
            Claimed::Granted { term, .. } => {
                Held { key: claim.key, nonce: claim.nonce, term, ttl: claim.ttl, note: claim.note }
            }
            other => panic!("{other:?}"),
        }
    }

    /// A command that looks at this store.
    pub(crate) fn tenure(&self, args: &[&str]) -> Command {
        let mut command = tenure();
        command.args(args).args(["--store", &self.url]);
        command
    }

    /// The same, run to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        ran(&mut self.tenure(args))
    }
}

/// What a command that has ended said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub(crate) fn ran(command: &mut Command) -> Ran {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

const LONG: Duration = Duration::from_secs(600);

/// One JSON line for each lease that is held, by key, with the members that others depend on.
#[tokio::test]
async fn leases_are_json_lines() {
    let place = Place::new();
    let held = place.hold("app/b", "host-1", LONG, "note").await;
    place.hold("app/a", "host-2", LONG, "").await;
    place.hold("other", "host-3", LONG, "").await;
    let ran = place.run(&["leases", "--json", "--prefix", "app/"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let lines = ran.lines();
    assert_eq!(lines.iter().map(|line| line["key"].as_str().unwrap()).collect::<Vec<_>>(), ["app/a", "app/b"]);
    let line = &lines[1];
    assert_eq!((&line["holder"], &line["term"]), (&"host-1".into(), &held.term.get().into()));
    assert_eq!((&line["ttl_ms"], &line["note"]), (&600_000.into(), &"note".into()));
    assert!((1..=600_000).contains(&line["remaining_ms"].as_u64().unwrap()), "{line}");
    assert_eq!((&line["bound_to"], &line["foreign"]), (&Value::Null, &false.into()));
    assert_eq!(line.as_object().unwrap().len(), 8);
}

/// A lease that is bound to a member's names that member and has no time of its own, wherever leases are shown; so does the
/// word that takes it away.
#[tokio::test]
async fn bound_leases_name_their_member() {
    let place = Place::new();
    let held = place.hold_bound("pool/targets/t", "a", "pool/members/a").await;
    let line = &place.run(&["leases", "pool/targets/t", "--json"]).lines()[0];
    assert_eq!((&line["bound_to"], &line["term"]), (&"pool/members/a".into(), &held.term.get().into()));
    assert!(line["ttl_ms"].is_null() && line["remaining_ms"].is_null() && line["foreign"] == false, "{line}");
    let shown = place.run(&["leases"]);
    assert!(shown.out.contains("bound to pool/members/a"), "{shown:?}");
    let refused = place.run(&["lease", "acquire", "pool/targets/t", "--no-wait"]);
    assert_eq!(refused.code, Some(76), "{refused:?}");
    let asked = place.run(&["resign", "pool/targets/t", "--timeout", "100ms"]);
    assert!(asked.code == Some(1) && asked.err.contains("It is bound to pool/members/a"), "{asked:?}");
    let taken = place.run(&["resign", "pool/targets/t", "--force"]);
    assert!(taken.code == Some(0) && taken.out.contains("which was bound to pool/members/a (term 7)"), "{taken:?}");
    assert!(taken.err.contains("until it looks at the record again"), "{taken:?}");
    place.hold_bound("k", "b", "pool/members/b").await;
    let line = &place.run(&["resign", "k", "--force", "--json"]).lines()[0];
    assert!(line["bound_to"] == "pool/members/b" && line["may_act_ms"].is_null(), "{line}");
    assert!(place.run(&["leases"]).out.is_empty());
}

/// People get an aligned table, which no note can break out of.
#[tokio::test]
async fn leases_are_a_table_that_notes_cannot_break() {
    let place = Place::new();
    place.hold("a", "x", LONG, &format!("\u{1b}[2J\r\n\u{1b}]0;owned\u{7}{}", "long ".repeat(200))).await;
    place.hold("日本/key", "y", LONG, "plain").await;
    let ran = ran(place.tenure(&["leases"]).env("COLUMNS", "90"));
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ran.out);
    assert!(lines[0].starts_with("KEY       HOLDER") && lines[0].ends_with("NOTE"), "{}", ran.out);
    assert!(!ran.out.contains(['\u{1b}', '\r', '\u{7}']) && lines[1].contains(r"\u{1b}[2J\r\n"), "{}", ran.out);
    assert!(lines[1].ends_with('…') && lines[1].chars().count() <= 90, "{}", ran.out);
    assert!(lines[2].starts_with("日本/key  y") && lines[2].ends_with("plain"), "{}", ran.out);
}

/// Of what other programs keep under a key no more is shown than what looks like its holder's name, also by the commands
/// that take it away.
#[test]
fn secrets_of_other_programs_are_not_shown() {
    let Some(programs) = or_skip("leases", true, RedisPrograms::find()) else { return };
    let server = programs.start(RedisOptions::default()).unwrap();
    let on = |args: &[&str]| ran(tenure().args(args).env("TENURE_STORE", server.url()));
    let json = r#"{"owner":"api-1","token":"hunter2"}"#;
    let secret = r#"{"token":"hunter2"}"#;
    let values =
        [("f:json", json, "api-1"), ("f:secret", secret, "another program"), ("f:plain", "host-7 hunter2", "host-7")];
    for (key, value, holder) in values {
        server.cli(["set", key, value]);
        let listed = on(&["leases", "--json", "--prefix", key]);
        assert_eq!((&listed.lines()[0]["holder"], &listed.lines()[0]["foreign"]), (&holder.into(), &true.into()));
        let refused = on(&["run", "--lease", key, "--no-wait", "--", "true"]);
        assert_eq!(refused.code, Some(76), "{refused:?}");
        let asked = on(&["resign", "--lease", key]);
        let taken = on(&["resign", "--lease", key, "--force"]);
        assert_eq!(taken.code, Some(0), "{taken:?}");
        for said in [&listed, &refused, &asked, &taken] {
            assert!(!said.out.contains("hunter2") && !said.err.contains("hunter2"), "{said:?}");
        }
    }
    server.cli(["hset", "f:hash", "a", "b"]);
    let taken = on(&["resign", "--lease", "f:hash", "--force"]);
    assert_eq!(taken.out, "deleted the lease f:hash of another program (hash)\n");
}

/// Nothing held is said on stderr and is no failure; a file that is not there is told, and not made.
#[tokio::test]
async fn an_empty_answer_is_told_on_stderr() {
    let place = Place::new();
    let ran = place.run(&["leases", "--json"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""));
    assert!(ran.err.contains("nothing is held") && ran.err.contains("leases.db"), "{}", ran.err);
    assert!(!place.folder.path().join("leases.db").exists());
    place.hold("a", "x", LONG, "").await;
    let ran = place.run(&["leases", "--prefix", "b"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""));
    assert!(ran.err.contains("nothing is held under \"b\""), "{}", ran.err);
}

/// Every operator's command ends with 69 where the store cannot be reached, with 64 where the call is wrong, and shows
/// no password.
#[test]
fn mistakes_have_codes() {
    let unreachable = "sqlite:/no/such/folder/leases.db";
    for args in [
        &["leases"][..],
        &["watch"],
        &["resign", "--lease", "k"],
        &["resign", "--lease", "k", "--force"],
        &["fence", "check", "--lease", "k", "--term", "1"],
    ] {
        let ended = ran(tenure().args(args).args(["--store", unreachable]));
        assert_eq!(ended.code, Some(69), "{args:?}: {}", ended.err);
        assert!(ended.err.contains("/no/such/folder") && ended.out.is_empty(), "{args:?}: {}", ended.err);
        let ended = ran(tenure().args(args).args(["--store", "mongodb://me:hunter2@host/"]));
        assert_eq!(ended.code, Some(64), "{args:?}: {}", ended.err);
        assert!(!ended.err.contains("hunter2"), "{args:?}: {}", ended.err);
    }
    for args in [
        &["leases", "--prefix", "a\nb"][..],
        &["resign"],
        &["resign", "--lease", ""],
        &["resign", "--lease", "k", "--timeout", "5"],
        &["fence", "check", "--lease", "k", "--term", "0"],
        &["fence"],
        &["completions", "tcsh"],
    ] {
        let ended = ran(tenure().args(args));
        assert_eq!(ended.code, Some(64), "{args:?}: {}", ended.err);
    }
}

/// A URL that can never mean a store is a wrong call, whatever is or is not behind it, and nothing is made of it.
#[test]
fn wrong_stores_are_wrong_calls() {
    let folder = tempfile::tempdir().unwrap();
    for store in [
        "redis:",
        "redis://",
        "redis://a,b",
        "redis://h:99999",
        "redis://h/x",
        "redis://:hunter2@h?foo=1",
        "redis-cluster://a/3",
        "redis-sentinel://h",
        "sqlite:",
        "sqlite:x.db?foo=1",
        "sqlite:x.db?poll_ms=0",
    ] {
        for args in [&["leases"][..], &["run", "--lease", "k"]] {
            let command = if args[0] == "run" { &["--", "true"][..] } else { &[] };
            let ended = ran(tenure().current_dir(&folder).args(args).args(["--store", store]).args(command));
            assert_eq!(ended.code, Some(64), "{args:?} {store}: {}", ended.err);
            assert!(ended.out.is_empty() && !ended.err.contains("hunter2"), "{args:?} {store}: {}", ended.err);
        }
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

/// A password that the server refuses is no wrong call: only the server could tell.
#[test]
fn refused_logins_are_unreachable_servers() {
    let Some(programs) = or_skip("logins", true, RedisPrograms::find()) else { return };
    let Some(program) = or_skip("logins", true, nats_program("2.9")) else { return };
    let redis =
        programs.start(RedisOptions { password: Some("hunter2".to_owned()), ..RedisOptions::default() }).unwrap();
    let login = NatsLogin::User("me".to_owned(), "hunter2".to_owned());
    let nats = Nats::start(&program, &NatsOptions { login, ..NatsOptions::default() }).unwrap();
    // Without the password that the server's own URL holds.
    let redis = redis.url().replace("hunter2", "wrong");
    for args in [["leases", "--store", &redis], ["tail", "--bus", &nats.url()]] {
        let ended = ran(tenure().args(args));
        assert_eq!(ended.code, Some(69), "{args:?}: {}", ended.err);
    }
    let ended = ran(tenure().args(["tail", "--bus", &format!("{}?foo=1", nats.url())]));
    assert_eq!(ended.code, Some(64), "{}", ended.err);
}

/// A stale term is refused with 1, the holder's own and a newer one are admitted; a file that is not there answers
/// nothing.
#[tokio::test]
async fn a_term_is_checked_against_the_holder() {
    let place = Place::new();
    let check = |term: u64| place.run(&["fence", "check", "--lease", "k", "--json", "--term", &term.to_string()]);
    assert_eq!(check(5).code, Some(69));
    let held = place.hold("k", "x", LONG, "").await;
    let term = held.term.get();
    for (asked, code) in [(term - 1, 1), (term, 0), (term + 1, 0)] {
        let ran = check(asked);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        let line = &ran.lines()[0];
        assert_eq!((&line["admitted"], &line["highest"]), (&(code == 0).into(), &term.into()));
    }
    // In the environment of a command that `tenure run` started, nothing needs to be said.
    let inside =
        ran(place.tenure(&["fence", "check"]).env("TENURE_KEY", "k").env("TENURE_TERM", (term - 1).to_string()));
    assert!(inside.code == Some(1) && inside.out.contains("stale"), "{inside:?}");
}

/// A term stays stale, and the last one good, after its tenure has ended; of a key that was never held, or whose name is
/// mistyped, nothing is known, and that admits nothing.
#[tokio::test]
async fn a_term_is_checked_after_the_end_of_the_tenure() {
    let place = Place::new();
    let check =
        |key: &str, term: u64| place.run(&["fence", "check", "--lease", key, "--json", "--term", &term.to_string()]);
    let released = place.hold("k", "x", LONG, "").await;
    let last = released.term.get();
    place.store().await.release(&[released]).await.unwrap().remove(0).unwrap();
    for (term, code) in [(last - 1, 1), (last, 0), (last + 1, 0)] {
        let ran = check("k", term);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        let line = &ran.lines()[0];
        assert_eq!((&line["admitted"], &line["highest"]), (&(code == 0).into(), &last.into()));
        assert!(line["holder"].is_null(), "{line}");
    }
    let people = place.run(&["fence", "check", "--lease", "k", "--term", "7"]);
    assert!(
        people.code == Some(1) && people.out.contains(&format!("stale: the last tenure had term {last}")),
        "{people:?}"
    );
    let ran = check("never", 1);
    let line = &ran.lines()[0];
    assert_eq!((ran.code, &line["admitted"]), (Some(66), &false.into()), "{ran:?}");
    assert!(line["highest"].is_null());
    let positional = place.run(&["fence", "check", "k", &last.to_string()]);
    assert_eq!(positional.code, Some(0), "{positional:?}");
    assert_eq!(place.run(&["fence", "check", "k"]).code, Some(64));
}

/// What lists take is the same for each of them.
#[test]
fn lists_have_the_same_flags() {
    let flags = |command: &str| {
        let help = ran(tenure().args([command, "--help"])).out;
        let options = help.split("Options:").nth(1).unwrap().split("  -h, --help").next().unwrap().to_owned();
        options.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    let spaceless = |flags: Vec<String>| flags.join("\n").replace(' ', "");
    assert_eq!(spaceless(flags("leases")), spaceless(flags("watch")));
}

/// The doctor finds a working store well and leaves nothing held; what is mistyped in the environment is told with what
/// was meant.
#[tokio::test]
async fn the_doctor_finds_a_working_store_well() {
    let place = Place::new();
    place.store().await;
    let home = place.folder.path().to_str().unwrap();
    let ran = ran(place
        .tenure(&["doctor", "--json"])
        .env("XDG_STATE_HOME", home)
        .env("TENURE_STROE", "redis://me:hunter2@host/"));
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let lines = ran.lines();
    let status = |check: &str| lines.iter().find(|line| line["check"] == check).map(|line| line["status"].clone());
    for check in [
        "clock",
        "store",
        "round trip",
        "lease",
        "wake-ups",
        "server",
        "list",
        "reaper",
        "signals",
        "control group",
        "bus",
    ] {
        assert_eq!(status(check), Some("ok".into()), "{check}: {}", ran.out);
    }
    assert_eq!(status("environment"), Some("warn".into()));
    assert!(ran.out.contains("did you mean TENURE_STORE?") && !ran.out.contains("hunter2"), "{}", ran.out);
    assert!(place.store().await.list(&Default::default()).await.unwrap().is_empty());
}

/// A server that was just started lets nobody in for a while: the doctor says so, and waits it out.
#[test]
fn the_doctor_waits_for_a_server_that_was_just_started() {
    let Some(programs) = or_skip("doctor", true, RedisPrograms::find()) else { return };
    let server = programs.start(RedisOptions::default()).unwrap();
    let ran = ran(tenure().args(["doctor", "--json", "--store", &server.url()]));
    assert!(ran.err.contains("grants nothing yet") && ran.err.contains("before Redis started"), "{}", ran.err);
    let lease = ran.lines().into_iter().find(|line| line["check"] == "lease").unwrap();
    assert_eq!((ran.code, &lease["status"]), (Some(0), &"ok".into()), "{}", ran.out);
}

/// An error that says by itself how to mend it gets no second remedy, and what Redis and its users are told by the
/// environment is known.
#[test]
fn the_doctor_gives_one_remedy() {
    let Some(programs) = or_skip("doctor", true, RedisPrograms::find()) else { return };
    let Some(program) = or_skip("doctor", true, nats_program("2.9")) else { return };
    let evicting = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"].map(str::to_owned).to_vec();
    let redis = programs.start(RedisOptions { arguments: evicting, ..RedisOptions::default() }).unwrap();
    let login = NatsLogin::User("me".to_owned(), "hunter2".to_owned());
    let nats = Nats::start(&program, &NatsOptions { login, ..NatsOptions::default() }).unwrap();
    let args = ["doctor", "--store", &redis.url(), "--bus", &nats.url()];
    let known = [("TENURE_REDIS_USER", ""), ("TENURE_REDIS_SENTINEL_PASSWORD_FILE", "/dev/null")];
    let ran = ran(tenure().args(args).arg("--json").envs(known));
    let lines = ran.lines();
    let of = |check: &str| lines.iter().find(|line| line["check"] == check).unwrap();
    for (check, what, how) in
        [("store", "allkeys-lru", "CONFIG SET maxmemory-policy noeviction"), ("bus", "Authorization", "see NATS_CREDS")]
    {
        let (text, remedy) = (of(check)["text"].as_str().unwrap(), of(check)["remedy"].as_str().unwrap());
        assert!(text.contains(what) && !text.contains(how), "{check}: {text}");
        assert!(remedy.starts_with(how) && !remedy.contains("is there"), "{check}: {remedy}");
    }
    assert_eq!(of("environment")["status"], "ok", "{}", of("environment"));
}

/// A file that is not there is told, and not made; its folder is tried all the same.
#[test]
fn the_doctor_makes_no_store() {
    let place = Place::new();
    let ran = place.run(&["doctor", "--json"]);
    let lines = ran.lines();
    let of = |check: &str| lines.iter().find(|line| line["check"] == check).unwrap()["status"].clone();
    assert_eq!((of("store"), of("lease")), ("warn".into(), "ok".into()), "{}", ran.out);
    assert_eq!(std::fs::read_dir(place.folder.path()).unwrap().count(), 0);
}

/// A store and a bus that cannot be reached fail, each with a remedy, and the rest is looked at all the same.
#[test]
fn the_doctor_tells_all_that_is_wrong() {
    let ran = ran(tenure()
        .args(["doctor", "--json", "--store", "redis-sentinel://me:hunter2@host/"])
        .args(["--bus", "sqlite:/no/such/folder/bus.db"]));
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    for check in ["store", "bus"] {
        let line = ran.lines().into_iter().find(|line| line["check"] == check).unwrap();
        assert!(line["status"] == "fail" && line["remedy"].is_string(), "{line}");
    }
    assert!(ran.out.contains("\"clock\"") && !ran.out.contains("hunter2"), "{}", ran.out);
}

/// Each shell gets a script that knows the commands; bash reads its own without complaint.
#[test]
fn completions_are_written_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = ran(tenure().args(["completions", shell]));
        assert_eq!(ended.code, Some(0), "{shell}: {}", ended.err);
        for word in ["tenure", "ingest", "resign", "--prefix"] {
            assert!(ended.out.contains(word.trim_start_matches("--")), "{shell}: no {word}");
        }
        if shell == "bash" {
            let folder = tempfile::tempdir().unwrap();
            let script = folder.path().join("tenure.bash");
            std::fs::write(&script, &ended.out).unwrap();
            match Command::new("bash").arg("-n").arg(&script).output() {
                Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
                Err(_) => println!("SKIPPED: bash reads its completions: bash is not installed"),
            }
        }
    }
}

/// Each command's help has examples.
#[test]
fn every_command_has_examples() {
    let commands: &[&[&str]] = &[
        &["leases"],
        &["watch"],
        &["resign"],
        &["fence", "check"],
        &["doctor"],
        &["completions"],
        &["man"],
        &["stores"],
    ];
    for command in commands {
        let ended = ran(tenure().args(*command).arg("--help"));
        assert!(ended.code == Some(0) && ended.out.contains("Examples:\n  "), "{command:?}: {}", ended.out);
    }
}

/// The list of stores says what each can do, in words of the help, and what builds it in.
#[test]
fn stores_say_what_they_can() {
    let (help, lines) =
        (ran(tenure().args(["stores", "--help"])).out, ran(tenure().args(["stores", "--json"])).lines());
    let of = |scheme: &str| lines.iter().find(|line| line["kind"] == "store" && line["scheme"] == scheme).unwrap();
    for (scheme, hints, expiry, fence, clock) in [
        ("sqlite", "poll", "script", true, "own"),
        ("redis", "push", "script", true, "server"),
        ("postgres", "push", "age", true, "server"),
        ("etcd", "push", "silence", false, "own"),
        ("kubernetes", "push", "silence", false, "server"),
        ("firestore", "poll", "age", false, "server"),
    ] {
        let store = of(scheme);
        assert_eq!((&store["hints"], &store["expiry"]), (&hints.into(), &expiry.into()), "{store}");
        assert_eq!((&store["fence"], &store["clock"]), (&fence.into(), &clock.into()), "{store}");
        assert!(store["batch"].as_u64().unwrap() >= 1 && store["documents"] == true, "{store}");
        assert_eq!(store["feature"], scheme, "{store}");
        for word in [hints, expiry, clock] {
            assert!(help.contains(word), "the help does not say what {word} is");
        }
    }
    assert!(of("consul")["expiry"].is_null() && of("consul")["feature"].is_null(), "{}", of("consul"));
    for member in of("etcd").as_object().unwrap().keys() {
        assert!(help.contains(member.as_str()), "the help does not name {member}");
    }
}

/// The list of stores is aligned for people.
#[test]
fn stores_are_an_aligned_table() {
    let ended = ran(tenure().args(["stores"]));
    let lines: Vec<&str> = ended.out.lines().collect();
    let at = lines[0].find("EXAMPLE").unwrap();
    assert!(
        lines[1..].iter().all(|line| line.as_bytes()[at - 1] == b' ' && line.as_bytes()[at] != b' '),
        "{}",
        ended.out
    );
}
