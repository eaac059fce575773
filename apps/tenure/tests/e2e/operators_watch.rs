//! `tenure watch`: changes as they happen, ends that are quiet, stores that go away.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tenure_test_servers::{RedisOptions, RedisPrograms, or_skip};
use tokio::time::Instant;

use crate::fleet::{DEADLINE, send, until};
use crate::operators::Place;

/// A `tenure watch` whose lines are read as they come.
struct Watching {
    child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
}

impl Watching {
    fn start(place: &Place, flags: &[&str]) -> Watching {
        let mut args = vec!["watch"];
        args.extend(flags);
        let mut child = place.tenure(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = follow(child.stdout.take().unwrap());
        let errors = follow(child.stderr.take().unwrap());
        Watching { child, lines, errors }
    }

    /// The next event, renewals left out unless they are what is waited for.
    fn event(&self, word: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("no {word}"));
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == word {
                return event;
            }
            assert_eq!(event["event"], "renewed", "while {word} was waited for: {line}");
        }
    }

    /// Waits for words on stderr.
    fn says(&self, words: &str) {
        loop {
            let line = self.errors.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("nobody says {words:?}"));
            if line.contains(words) {
                return;
            }
        }
    }

    async fn end(&mut self) -> Option<i32> {
        let mut status = None;
        until("the end of watch", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap().code()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

const LONG: Duration = Duration::from_secs(600);

/// What is held comes first, as acquired; then claims, renewals, releases and expiries, each with its word.
#[tokio::test]
async fn each_change_is_told_with_its_word() {
    let place = Place::new();
    place.hold("app/held", "early", LONG, "").await;
    let mut watching = Watching::start(&place, &["--json", "--prefix", "app/"]);
    let first = watching.event("acquired");
    assert_eq!((&first["key"], &first["holder"]), (&"app/held".into(), &"early".into()));

    place.hold("other/key", "unseen", LONG, "").await;
    let held = place.hold("app/new", "late", Duration::from_secs(3), "").await;
    let acquired = watching.event("acquired");
    assert_eq!((&acquired["key"], &acquired["term"]), (&"app/new".into(), &held.term.get().into()));
    assert!(acquired["at"].as_str().unwrap().ends_with('Z') && acquired["ttl_ms"] == 3_000);

    let store = place.store().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    store.renew(std::slice::from_ref(&held)).await.unwrap().remove(0).unwrap();
    assert_eq!(watching.event("renewed")["key"], "app/new");
    let expired = watching.event("expired");
    assert_eq!((&expired["key"], &expired["remaining_ms"]), (&"app/new".into(), &0.into()));

    let bound = place.hold_bound("app/bound", "a", "members/a").await;
    let acquired = watching.event("acquired");
    assert!(acquired["bound_to"] == "members/a" && acquired["ttl_ms"].is_null() && acquired["foreign"] == false);
    tokio::time::sleep(bound.ttl * 2).await;
    store.release(&[bound]).await.unwrap().remove(0).unwrap();
    let released = watching.event("released");
    assert!(released["key"] == "app/bound" && released["remaining_ms"].is_null(), "{released}");

    let held = place.hold("app/new", "late", LONG, "").await;
    watching.event("acquired");
    store.release(&[held]).await.unwrap().remove(0).unwrap();
    assert_eq!(watching.event("released")["key"], "app/new");

    send(i32::try_from(watching.child.id()).unwrap(), Signal::INT);
    assert_eq!(watching.end().await, Some(0));
}

/// With a key, as a word or a flag, only that key is told of, held or not, and not those that begin like it; with a prefix as well
/// the call is refused.
#[tokio::test]
async fn one_key_is_watched_alone() {
    let place = Place::new();
    place.hold("app/ab", "longer", LONG, "").await;
    for args in [&["app/a", "--json"][..], &["-l", "app/a", "--json"]] {
        let mut watching = Watching::start(&place, args);
        watching.says("nobody holds app/a; waiting");
        let other = place.hold("app/abc", "unseen", LONG, "").await;
        let held = place.hold("app/a", "seen", LONG, "").await;
        assert_eq!(watching.event("acquired")["key"], "app/a");
        let store = place.store().await;
        store.release(&[other]).await.unwrap().remove(0).unwrap();
        store.release(&[held]).await.unwrap().remove(0).unwrap();
        assert_eq!(watching.event("released")["key"], "app/a");
        send(i32::try_from(watching.child.id()).unwrap(), Signal::INT);
        assert_eq!(watching.end().await, Some(0));
        assert!(watching.lines.try_recv().is_err(), "nothing of other keys");
    }
    assert_eq!(place.run(&["watch", "app/a", "--prefix", "app/"]).code, Some(64));
    assert_eq!(place.run(&["watch", "app/a", "-l", "app/a"]).code, Some(64));
}

/// Renewals that change nothing but the time are seen though no hint tells of them.
#[tokio::test]
async fn renewals_are_seen_without_hints() {
    let place = Place::new();
    let held = place.hold("k", "x", Duration::from_secs(2), "").await;
    let watching = Watching::start(&place, &["--json"]);
    watching.event("acquired");
    let store = place.store().await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(600)).await;
        store.renew(std::slice::from_ref(&held)).await.unwrap().remove(0).unwrap();
        assert_eq!(watching.event("renewed")["key"], "k");
    }
}

/// A reader that goes away ends it with 0 and without a word, also while nothing happens.
#[tokio::test]
async fn a_reader_that_goes_ends_it_quietly() {
    let place = Place::new();
    place.hold("k", "x", LONG, "").await;
    let mut child = place.tenure(&["watch"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut heading = String::new();
    out.read_line(&mut heading).unwrap();
    assert!(heading.starts_with("TIME"), "{heading}");
    drop(out);
    let errors = follow(child.stderr.take().unwrap());
    let mut watching = Watching { child, lines: mpsc::channel().1, errors };
    assert_eq!(watching.end().await, Some(0));
    assert_eq!(watching.errors.recv_timeout(DEADLINE).ok(), None);
}

/// A store that goes away in the middle is told once and waited for; what happened meanwhile is told when it is back.
#[tokio::test]
async fn a_store_that_goes_away_is_waited_for() {
    let place = Place::new();
    let folder = place.folder.path().join("in");
    std::fs::create_dir(&folder).unwrap();
    let url = format!("sqlite:{}", folder.join("leases.db").display());
    let place = Place { url, ..place };
    let held = place.hold("k", "x", LONG, "").await;
    let watching = Watching::start(&place, &["--json"]);
    watching.event("acquired");
    let away = place.folder.path().join("away");
    std::fs::rename(&folder, &away).unwrap();
    watching.says("trying again until it does");
    let elsewhere = format!("sqlite:{}", away.join("leases.db").display());
    tenure_open::open(&elsewhere).await.unwrap().release(&[held]).await.unwrap().remove(0).unwrap();
    std::fs::rename(&away, &folder).unwrap();
    watching.says("answers again");
    assert_eq!(watching.event("released")["key"], "k");
}

/// It can be started before the store's file is there.
#[tokio::test]
async fn it_waits_for_a_store_that_is_not_there_yet() {
    let place = Place::new();
    let watching = Watching::start(&place, &["--json"]);
    watching.says("waiting");
    assert!(!place.folder.path().join("leases.db").exists());
    place.hold("k", "x", LONG, "").await;
    assert_eq!(watching.event("acquired")["key"], "k");
}

/// On a server, too, a tenure is told as soon as it begins, however short it is, and its end when its time is over; what
/// happens to one key costs no look through all names of the database.
#[tokio::test]
async fn a_server_tells_of_each_tenure_as_it_begins() {
    let Some(programs) = or_skip("watch", true, RedisPrograms::find()) else { return };
    let server = programs.start(RedisOptions::default()).unwrap();
    let place = Place { url: server.url() + "?durable=true", ..Place::new() };
    let watching = Watching::start(&place, &["--json", "--prefix", "wl"]);
    watching.says("waiting");
    server.cli(["config", "resetstat"]);
    for round in 0..3 {
        let key = format!("wl{round}");
        let began = Instant::now();
        place.hold(&key, "gone", Duration::from_secs(2), "").await;
        assert_eq!(watching.event("acquired")["key"], key.as_str());
        // By the timer alone it would be seen after five seconds, and half of that in the mean.
        assert!(began.elapsed() < Duration::from_secs(1), "seen after {:?}", began.elapsed());
        assert_eq!(watching.event("expired")["key"], key.as_str());
        assert!(began.elapsed() < Duration::from_secs(3), "gone after {:?}", began.elapsed());
    }
    let calls = server.cli(["info", "commandstats"]);
    let scans =
        calls.lines().find_map(|line| line.strip_prefix("cmdstat_scan:calls=")?.split(',').next()?.parse().ok());
    // One every five seconds; a look for each hint and each sixth of a ttl would be dozens.
    assert!(scans.unwrap_or(0) <= 4, "{calls}");
}
