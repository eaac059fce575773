//! Taking turns with another program over its own document: each waits for the other, and takes over from it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/kit.rs"]
mod kit;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use by_hand::{ByHand, number, text};
use kit::*;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tenure_store::{Claim, Claimed, KeyPrefix, LeaseStore, Renewed};
use tenure_test_servers::{Firestore, FirestorePrograms, or_skip};
use tokio::time::{Instant, sleep};

const DOCUMENT: &str = "system/ircLeader";
const HEARTBEAT: Duration = Duration::from_millis(300);

struct Place {
    emulator: Firestore,
    project: String,
}

impl Place {
    fn new() -> Option<Place> {
        let emulator = or_skip("firestore turns", false, FirestorePrograms::find())?.start().unwrap();
        Some(Place { project: emulator.new_project(), emulator })
    }

    async fn ours(&self) -> Store {
        open(&format!("firestore://{}?emulator={}", self.project, self.emulator.host())).await.unwrap()
    }

    fn by_hand(&self) -> ByHand {
        ByHand::new(&self.emulator.host(), &self.project)
    }

    /// The other program: its lease lasts 3 s.
    fn theirs(&self, holder: &str, more: &[&str]) -> Theirs {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/other_protocol.py");
        let mut command = Command::new("python3");
        command.args([script, "--emulator", &self.emulator.host(), "--project", &self.project, "--holder", holder]);
        command.args(["--ttl", "3", "--heartbeat", &HEARTBEAT.as_secs_f64().to_string()]).args(more);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (told, said) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| told.send(line)));
        Theirs { child, said }
    }
}

struct Theirs {
    child: Child,
    said: Receiver<String>,
}

impl Theirs {
    /// Waits until it says this; returns what it said before.
    fn until(&self, word: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            match self.said.recv_timeout(PATIENCE) {
                Ok(line) if line == word => return before,
                Ok(line) => before.push(line),
                Err(error) => panic!("it never said {word:?} ({error}) but {before:?}"),
            }
        }
    }

    fn terminate(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        self.until("released");
        self.child.wait().unwrap();
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ours is granted the document only when their lease is over, by their own rule and Google's clock; at once where they
/// release it; and they wait for ours in the same way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_waits_for_the_other() {
    let Some(place) = Place::new() else { return };
    let (ours, by_hand) = (place.ours().await, place.by_hand());
    for merge in [&[][..], &["--merge"]] {
        let theirs = place.theirs("bot:bot-00001-abc:1", merge);
        theirs.until("leads");
        let first = claim(DOCUMENT, 1);
        for _ in 0..5 {
            assert_eq!(holder(&ours, &first).await, "bot:bot-00001-abc:1");
            sleep(HEARTBEAT).await;
        }
        let listed = ours.list(&KeyPrefix::default()).await.unwrap();
        assert!(listed.len() == 1 && listed[0].key == first.key && listed[0].term.is_none(), "{listed:?}");

        // It is killed: what it wrote last is waited out.
        drop(theirs);
        let fields = by_hand.get(DOCUMENT).await.unwrap();
        let expires: u64 = fields["expiresAtMs"]["integerValue"].as_str().unwrap().parse().unwrap();
        let own = until_granted(&ours, &first).await;
        assert!(unix_millis() >= expires, "{} ms too early", expires - unix_millis());
        assert!(unix_millis() < expires + 2_000, "{} ms too late", unix_millis() - expires);

        // They wait while ours is renewed, and for its ttl after that.
        let theirs = place.theirs("bot:bot-00002-abc:2", merge);
        theirs.until("waits");
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            assert_eq!(renew(&ours, &own).await.unwrap(), Renewed::Extended { resign_requested: false });
            sleep(Duration::from_millis(500)).await;
        }
        let last = Instant::now();
        assert_eq!(renew(&ours, &own).await.unwrap(), Renewed::Extended { resign_requested: false });
        assert!(theirs.until("leads").iter().all(|word| word == "waits"));
        assert!(last.elapsed() + Duration::from_millis(100) > own.ttl, "{:?}", last.elapsed());
        assert!(
            matches!(renew(&ours, &own).await.unwrap(), Renewed::Lost { to: Some(to) } if to.as_str().starts_with("bot:bot-00002"))
        );

        // They release: ours is next at once, with a higher term.
        theirs.terminate();
        let asked = Instant::now();
        let next = granted(&ours, &claim(DOCUMENT, 2)).await;
        assert!(next.term > own.term && asked.elapsed() < Duration::from_secs(2));

        // Ours releases: they are next with their next heartbeat.
        let theirs = place.theirs("bot:bot-00003-abc:3", merge);
        theirs.until("waits");
        release(&ours, &next).await.unwrap();
        theirs.until("leads");
        theirs.terminate();
    }
}

/// Theirs has a clock that is an hour off. As a holder: ahead, what it wrote counts an hour longer, for its own kind as for
/// ours; behind, ours takes the document at once, and it finds out with its next heartbeat. As a candidate: ahead, it takes
/// a lease of ours that is live, and ours is told of the loss with its next renewal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_an_hour_off_is_their_own_matter() {
    let Some(place) = Place::new() else { return };
    let ours = place.ours().await;
    let ahead = place.theirs("bot:ahead", &["--clock-off", "3600"]);
    ahead.until("leads");
    drop(ahead);
    let rival = claim(DOCUMENT, 1);
    sleep(Duration::from_secs(4)).await;
    assert_eq!(holder(&ours, &rival).await, "bot:ahead");
    let rightly = place.theirs("bot:right", &[]);
    rightly.until("waits");
    drop(rightly);
    // An operator's word frees it.
    assert!(ours.remove(&rival.key).await.unwrap().is_some());

    let behind = place.theirs("bot:behind", &["--clock-off", "-3600"]);
    behind.until("leads");
    let own = until_granted(&ours, &rival).await;
    behind.until("lost");
    for _ in 0..3 {
        behind.until("waits");
        assert_eq!(renew(&ours, &own).await.unwrap(), Renewed::Extended { resign_requested: false });
    }
    drop(behind);

    let ahead = place.theirs("bot:ahead", &["--clock-off", "3600"]);
    ahead.until("leads");
    assert!(matches!(renew(&ours, &own).await.unwrap(), Renewed::Lost { to: Some(to) } if to.as_str() == "bot:ahead"));
}

/// Keys of two ids are those documents, and are listed from there; an application's documents beside them are not taken for
/// leases in lists, and count as held when they are asked for. A key in the collection of all others is encoded like them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readable_keys_are_documents() {
    let Some(place) = Place::new() else { return };
    let (ours, by_hand) = (place.ours().await, place.by_hand());
    for n in 0..3 {
        by_hand.put(&format!("reports/app-{n}"), json!({ "title": text("x") })).await;
        by_hand.put(&format!("orders/{n}"), json!({ "holderId": text("me"), "size": number(3) })).await;
    }
    // A lease that somebody has copied, or that was copied by an import, is none at another place.
    granted(&ours, &claim("b", 50)).await;
    by_hand.put("tenure/copy", by_hand.get("tenure/Yg").await.unwrap()).await;
    release(&ours, &held(&claim("b", 50), ours.last_term(&key("b")).await.unwrap().unwrap())).await.unwrap();
    let names = [
        "reports/nightly",
        "reports/a b",
        "system/ircLeader",
        "tenure/dGVudXJlL3g",
        "tenure/x",
        "plain",
        "a/b/c",
        "x/..",
        "__x__/y",
    ];
    for (name, process) in names.iter().zip(1..) {
        granted(&ours, &claim(name, process)).await;
    }
    assert_eq!(by_hand.get("reports/nightly").await.unwrap()["holderId"], text("ours-1"));
    assert!(by_hand.get("tenure/x").await.is_none());
    let list = async |prefix: &str| -> Vec<String> {
        ours.list(&KeyPrefix::new(prefix).unwrap()).await.unwrap().iter().map(|record| record.key.to_string()).collect()
    };
    let mut all = names.map(str::to_owned);
    all.sort();
    assert_eq!(list("").await, all);
    assert_eq!(list("re").await, ["reports/a b", "reports/nightly"]);
    assert_eq!(list("reports/n").await, ["reports/nightly"]);
    assert_eq!(list("tenure/").await, ["tenure/dGVudXJlL3g", "tenure/x"]);
    assert!(matches!(acquire(&ours, &claim("orders/1", 99)).await.unwrap(), Claimed::Held { .. }));
    assert_eq!(by_hand.get("orders/1").await.unwrap(), json!({ "holderId": text("me"), "size": number(3) }));
}

/// More leases than one request takes are claimed and renewed in one call each; of eight new clients that race for one key
/// one wins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_end_well() {
    let Some(place) = Place::new() else { return };
    let ours = place.ours().await;
    let claims: Vec<Claim> =
        (1..=600).map(|n| Claim { ttl: Duration::from_secs(60), ..claim(&format!("many/of/{n}"), n) }).collect();
    let begun = Instant::now();
    let mut own = Vec::new();
    for (claim, answer) in claims.iter().zip(ours.acquire(&claims).await.unwrap()) {
        match answer.unwrap() {
            Claimed::Granted { term, .. } => own.push(held(claim, term)),
            other => panic!("{other:?}"),
        }
    }
    let claimed = begun.elapsed();
    let begun = Instant::now();
    for answer in ours.renew(&own).await.unwrap() {
        assert_eq!(answer.unwrap(), Renewed::Extended { resign_requested: false });
    }
    println!("600 claims {claimed:?}, 600 renewals {:?}", begun.elapsed());
    let begun = Instant::now();
    renew(&ours, &own[0]).await.unwrap();
    println!("one renewal {:?}", begun.elapsed());

    let mut racers = tokio::task::JoinSet::new();
    for process in 1..=8 {
        let store = place.ours().await;
        racers.spawn(async move {
            let begun = Instant::now();
            let answer = acquire(&store, &claim("race/for/it", process)).await;
            (matches!(answer, Ok(Claimed::Granted { .. })), begun.elapsed(), answer)
        });
    }
    let ends = racers.join_all().await;
    println!("a race of eight: {:?}", ends.iter().map(|end| end.1).collect::<Vec<_>>());
    assert_eq!(ends.iter().filter(|end| end.0).count(), 1, "{ends:?}");
}

fn unix_millis() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}
