//! `tenure resign`: holders that are asked, holders that do not hear, leases that are taken away.

use std::sync::Arc;
use std::time::Duration;

use tenure::{Election, LossReason};
use tenure_twitch_sim::SimConfig;
use tokio::sync::mpsc;

use crate::fleet::{DEADLINE, Fleet, quick, until};
use crate::operators::{Place, Ran, ran};

/// The ttl of elections here.
const TTL: Duration = Duration::from_secs(3);

/// A candidate that campaigns again after each tenure, as a daemon does; tells who got which term.
async fn candidate(place: &Place, name: &'static str, told: mpsc::UnboundedSender<(&'static str, u64)>) {
    let election = Election::builder(place.store().await, "app/leader").holder(name).ttl(TTL).start().unwrap();
    tokio::spawn(async move {
        while let Ok(leadership) = election.campaign().await {
            let _ = told.send((name, leadership.term().get()));
            let reason = leadership.lost().await;
            if name == "first" {
                assert_eq!(reason, LossReason::ResignRequested);
            }
            let _ = leadership.resign().await;
        }
    });
}

async fn resign(place: &Arc<Place>, flags: &'static [&'static str]) -> Ran {
    let place = Arc::clone(place);
    let run = move || place.run(&[&["resign", "--lease", "app/leader", "--json"], flags].concat());
    tokio::time::timeout(DEADLINE, tokio::task::spawn_blocking(run)).await.unwrap().unwrap()
}

/// The holder gives up on request, a candidate that waits follows, and the old holder leaves the key to it though it
/// campaigns again at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_asked_hands_over() {
    let place = Arc::new(Place::new());
    let (told, mut tenures) = mpsc::unbounded_channel();
    candidate(&place, "first", told.clone()).await;
    let (first, term) = tenures.recv().await.unwrap();
    assert_eq!(first, "first");
    candidate(&place, "second", told).await;
    // The second must have found the key held, or it could come too late.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ran = resign(&place, &[]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let line = &ran.lines()[0];
    assert_eq!(
        (&line["over"], &line["was"]["holder"], &line["was"]["term"]),
        (&true.into(), &"first".into(), &term.into())
    );
    assert_eq!(line["now"]["holder"], "second", "{line}");
    let (second, later) = tokio::time::timeout(DEADLINE, tenures.recv()).await.unwrap().unwrap();
    assert!(second == "second" && later > term);
}

/// Nobody else wants the key: the old holder takes it again, after it has left others a ttl's time.
#[tokio::test(flavor = "multi_thread")]
async fn a_lone_holder_leads_again_later() {
    let place = Arc::new(Place::new());
    let (told, mut tenures) = mpsc::unbounded_channel();
    candidate(&place, "first", told).await;
    let (_, term) = tenures.recv().await.unwrap();
    let ran = resign(&place, &[]).await;
    assert!(ran.code == Some(0) && ran.lines()[0]["now"].is_null(), "{ran:?}");
    let over = tokio::time::Instant::now();
    let (_, later) = tokio::time::timeout(DEADLINE, tenures.recv()).await.unwrap().unwrap();
    assert!(later > term && over.elapsed() > TTL / 3, "{:?}", over.elapsed());
}

/// A holder that does not hear keeps the lease: the answer is 1, and says what can be done.
#[tokio::test]
async fn a_holder_that_does_not_hear_is_told_of() {
    let place = Place::new();
    place.hold("k", "deaf", Duration::from_secs(600), "").await;
    let ran = place.run(&["resign", "--lease", "k", "--timeout", "300ms"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.err.contains("still held by deaf") && ran.err.contains("--force"), "{ran:?}");
}

/// Who wrote a record that this version cannot read cannot be asked through it: that is said at once.
#[tokio::test]
async fn the_writer_of_an_unknown_record_cannot_be_asked() {
    let place = Place::new();
    place.hold("k", "newer", Duration::from_secs(100), "").await;
    let file = rusqlite::Connection::open(place.folder.path().join("leases.db")).unwrap();
    for (format, who) in [(3, "format 3"), (0, "another program")] {
        file.execute("UPDATE lease SET format = ?1", [format]).unwrap();
        let ran = place.run(&["resign", "--lease", "k"]);
        assert!(ran.code == Some(1) && ran.err.contains("cannot be asked") && ran.err.contains(who), "{ran:?}");
    }
}

/// Nobody holds: 1, with that text.
#[tokio::test]
async fn nobody_cannot_be_asked() {
    let place = Place::new();
    for flags in [&["resign", "--lease", "k"][..], &["resign", "--lease", "k", "--force"]] {
        let before = place.run(flags);
        assert!(before.code == Some(1) && before.err.contains("nobody holds k"), "{before:?}");
    }
    place.store().await;
    for flags in [&["resign", "--lease", "k"][..], &["resign", "--lease", "k", "--force"]] {
        let after = place.run(flags);
        assert!(after.code == Some(1) && after.err.contains("nobody holds k"), "{after:?}");
    }
}

/// With --json there is one object also where nothing could be done: nobody holds, the store's file is not there yet, or
/// whoever holds cannot be asked.
#[tokio::test]
async fn json_is_written_where_nothing_is_done() {
    let place = Place::new();
    let json = async |key: &str, flags: &[&str], message: &str| {
        let ran = place.run(&[&["resign", "--lease", key, "--json"], flags].concat());
        assert!(ran.code == Some(1) && ran.err.contains(message), "{ran:?}");
        let lines = ran.lines();
        assert_eq!(lines.len(), 1, "{ran:?}");
        assert_eq!((&lines[0]["key"], &lines[0]["over"]), (&key.into(), &false.into()), "{ran:?}");
        lines[0].clone()
    };
    for round in 0..2 {
        let line = json("k", &[], "nobody holds k").await;
        assert!(line["was"].is_null() && line["now"].is_null() && line["after_ms"] == 0, "{line}");
        let line = json("k", &["--force"], "nobody holds k").await;
        assert!(line["was"].is_null() && line["removed"] == false && line["may_act_ms"].is_null(), "{line}");
        if round == 0 {
            place.store().await;
        }
    }
    place.hold("other", "it", Duration::from_secs(100), "").await;
    let file = rusqlite::Connection::open(place.folder.path().join("leases.db")).unwrap();
    file.execute("UPDATE lease SET format = 0", []).unwrap();
    let line = json("other", &[], "cannot be asked").await;
    assert_eq!((&line["was"]["holder"], &line["now"]["holder"]), (&"it".into(), &"it".into()), "{line}");
}

/// A lease that nobody renews, as one that was kept for a cron job: whoever asks is told that nobody may be there, until when
/// the lease lasts, and what ends it. Of a holder that renews and goes on draining nothing of that is said.
#[tokio::test]
async fn a_lease_that_nobody_renews_is_told_of() {
    let place = Place::new();
    let flags = ["--lease", "k", "--ttl", "5s", "--hold-for", "10m", "--holder", "cron", "--", "true"];
    let kept = ran(place.tenure(&["run"]).args(flags));
    assert_eq!(kept.code, Some(0), "{kept:?}");
    let ran = place.run(&["resign", "--lease", "k", "--timeout", "300ms"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    for words in
        ["still held by cron", "nobody is there", "--hold-for", "the lease lasts until 2", "from now", "--force"]
    {
        assert!(ran.err.contains(words), "no {words:?}: {}", ran.err);
    }

    let busy = place.hold("busy", "at-work", Duration::from_secs(100), "").await;
    let store = place.store().await;
    let renewing = tokio::spawn(async move {
        loop {
            store.renew(std::slice::from_ref(&busy)).await.unwrap().remove(0).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let place = Arc::new(place);
    let run = {
        let place = Arc::clone(&place);
        move || place.run(&["resign", "--lease", "busy", "--timeout", "1s"])
    };
    let ran = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(ran.code == Some(1) && ran.err.contains("renewed it meanwhile"), "{ran:?}");
    assert!(!ran.err.contains("nobody is there"), "{ran:?}");
    renewing.abort();
}

/// By force the key is free at once; until when the old holder may act is told, and the term goes on growing.
#[tokio::test]
async fn force_frees_the_key_and_tells_until_when() {
    let place = Place::new();
    let held = place.hold("k", "gone", Duration::from_secs(100), "").await;
    let ran = place.run(&["resign", "--lease", "k", "--force", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let line = &ran.lines()[0];
    assert_eq!((&line["removed"], &line["was"]["holder"]), (&true.into(), &"gone".into()));
    assert!((90_000..=100_000).contains(&line["may_act_ms"].as_u64().unwrap()), "{line}");
    assert!(line["may_act_until"].as_str().unwrap().ends_with('Z'), "{line}");
    assert!(ran.err.contains("may still act until") && ran.err.contains("stop it"), "{ran:?}");
    assert!(place.hold("k", "next", Duration::from_secs(100), "").await.term > held.term);
}

/// With both, the holder is asked first, and the lease deleted when the time is over.
#[tokio::test]
async fn force_with_a_timeout_asks_first() {
    let place = Place::new();
    place.hold("k", "deaf", Duration::from_secs(100), "").await;
    let ran = place.run(&["resign", "--lease", "k", "--force", "--timeout", "300ms", "--json"]);
    assert!(ran.code == Some(0) && ran.lines()[0]["removed"] == true, "{ran:?}");
}

/// A chat daemon that is asked hands over to its standby, and loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_asked_hands_over() {
    let fleet = Fleet::new(SimConfig { limit: Some(1_000), ..quick(2, 200.0) }, "3s").await;
    let a = fleet.instance("a");
    a.ready().await;
    let first = fleet.leader().await;
    assert_eq!(first.holder.as_str(), "a");
    let b = fleet.instance("b");
    b.ready().await;
    let place = Place { folder: tempfile::tempdir().unwrap(), url: fleet.store_url() };
    let run = move || place.run(&["resign", "--lease", "system/ircLeader", "--json"]);
    let ran = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(ran.code == Some(0) && ran.lines()[0]["now"]["holder"] == "b", "{ran:?}\n{}", a.log());
    until("the standby's own word", async || b.get("/leader").await.is_some_and(|(code, _)| code == 200)).await;
    fleet.sim.chat_over().await;
    let verdict = fleet.settled().await;
    assert_eq!((verdict.lost.count, verdict.doubled.count), (0, 0));
}
