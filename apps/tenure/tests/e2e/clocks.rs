//! Instances whose clocks are seconds apart: what nobody read is a gap all the same, and nobody vouches for what it did not
//! read.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tenure_twitch_sim::{Fault, Select};

use crate::fleet::{Fleet, Instance, quick, until};

const GAP: &str = "external.chat.gap.v1";
/// Where Debian puts it, by architecture.
const LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// The library that shifts a process's wall clock; `None`, with a word to the closing table, where there is none.
fn faketime(suite: &str) -> Option<&'static str> {
    let found = LIBRARIES.into_iter().find(|path| Path::new(path).exists());
    if found.is_none() {
        println!("SKIPPED: {suite}: libfaketime is absent; install it with: apt-get install faketime");
    }
    found
}

/// An instance whose wall clock is so many seconds away from ours. Clocks that measure spans stay right.
fn instance(fleet: &Fleet, library: &str, name: &str, seconds: i32) -> Instance {
    let offset = format!("{seconds:+}s");
    let environment = [
        ("LD_PRELOAD", library),
        ("FAKETIME", &offset),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_DISABLE_SHM", "1"),
    ];
    fleet.instance_under(name, &[], if seconds == 0 { &[] } else { &environment })
}

async fn fleet() -> Fleet {
    patient_fleet("1s").await
}

/// A fleet whose leader stays leader for so long although it is without chat.
async fn patient_fleet(repair_after: &str) -> Fleet {
    let mut fleet = Fleet::new(quick(2, 100.0), "2s").await;
    fleet.extra = ["--repair-after", repair_after].map(str::to_owned).to_vec();
    fleet
}

/// Lines that were sent since this moment, are not on the bus, and lie in no gap of their channel. Times are the
/// simulator's, so true.
fn lost_in_silence(fleet: &Fleet, since_ms: i64) -> Vec<(String, i64)> {
    let bodies: Vec<Value> = fleet.bodies().iter().map(|body| serde_json::from_slice(body).unwrap()).collect();
    let lines: HashSet<&str> = bodies.iter().filter_map(|body| body["payload"]["raw"]["line"].as_str()).collect();
    let at = |gap: &Value, name: &str| {
        gap["payload"][name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond()
    };
    let gaps: Vec<(&str, i64, i64)> = bodies
        .iter()
        .filter(|body| body["type"] == GAP)
        .map(|gap| (gap["source"]["channel"].as_str().unwrap(), at(gap, "from"), at(gap, "until")))
        .collect();
    assert!(gaps.iter().all(|(_, from, until)| from <= until), "{gaps:?}");
    let ledger = fleet.sim.ledger();
    let chat = ledger.lines().iter().filter(|line| line.sent_at_ms >= since_ms);
    chat.filter(|line| line.raw.windows(9).any(|word| word == b" PRIVMSG "))
        .filter(|line| !lines.contains(String::from_utf8_lossy(&line.raw).as_ref()))
        .filter(|line| {
            let sent = line.sent_at_ms;
            !gaps.iter().any(|(channel, from, until)| *channel == &*line.channel && (*from..=*until).contains(&sent))
        })
        .map(|line| (line.channel.to_string(), line.sent_at_ms))
        .collect()
}

fn unix_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// A leader is lost with its host, and the next instance begins to read a second later, with clocks that are 4 to 40 s apart
/// either way: what nobody read lies in a gap, in true time.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_read_is_a_gap_whatever_the_clocks_say() {
    let Some(library) = faketime("e2e clocks, takeover") else { return };
    let runs = [(0, -4), (0, -20), (0, 20), (4, 0), (20, 0), (-20, 0), (20, -20)].map(|(first, second)| async move {
        let fleet = fleet().await;
        let mut a = instance(&fleet, library, "a", first);
        a.ready().await;
        let since = unix_ms();
        until("some chat", async || fleet.bodies().len() > 200).await;
        a.lose_host().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let b = instance(&fleet, library, "b", second);
        b.ready().await;
        until("both gaps", async || fleet.envelopes(GAP).len() >= 2).await;
        fleet.sim.stop_chat().await;
        until("the rest on the bus, or in a gap", async || lost_in_silence(&fleet, since).is_empty()).await;
        let uncertain: Vec<_> = fleet.envelopes(GAP).iter().map(|gap| gap["payload"]["uncertain"] == true).collect();
        // It can be told only where the ends lie in their order.
        let crossed = first - second >= 4;
        assert_eq!(uncertain, [crossed; 2], "clocks at {first:+} and {second:+} s");
    });
    tokio::time::timeout(Duration::from_secs(120), join_all(runs)).await.unwrap();
}

/// Leader and standby lose their connections at once, and the standby's clock is ahead or behind: its old note vouches for
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_note_vouches_for_nothing() {
    let Some(library) = faketime("e2e clocks, stale notes") else { return };
    let runs = [20, 4, -4].map(|standby| async move {
        let mut fleet = patient_fleet("4s").await;
        // Notes are renewed three times in this.
        fleet.ttl = "9s";
        let a = instance(&fleet, library, "a", 0);
        a.ready().await;
        fleet.leader().await;
        let since = unix_ms();
        let b = instance(&fleet, library, "b", standby);
        b.ready().await;
        until("some chat", async || fleet.bodies().len() > 500).await;
        fleet.sim.fault(Fault::Refuse { for_ms: 700 }).unwrap();
        fleet.sim.fault(Fault::Cut { select: Select::All, how: Default::default() }).unwrap();
        until("both gaps", async || fleet.envelopes(GAP).len() >= 2).await;
        fleet.sim.stop_chat().await;
        until("the rest on the bus, or in a gap", async || lost_in_silence(&fleet, since).is_empty()).await;
    });
    tokio::time::timeout(Duration::from_secs(120), join_all(runs)).await.unwrap();
}

/// A leader alone loses its connection; the standby that begins to read after that, with a clock behind or ahead, does not
/// vouch for the time in which nobody read.
#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_vouches_for_nothing_before_it() {
    let Some(library) = faketime("e2e clocks, newcomers") else { return };
    let runs = [-4, -20, 20].map(|standby| async move {
        let fleet = patient_fleet("4s").await;
        let a = instance(&fleet, library, "a", 0);
        a.ready().await;
        fleet.leader().await;
        let since = unix_ms();
        until("some chat", async || fleet.bodies().len() > 200).await;
        fleet.sim.fault(Fault::Refuse { for_ms: 1_500 }).unwrap();
        fleet.sim.fault(Fault::Cut { select: Select::All, how: Default::default() }).unwrap();
        let b = instance(&fleet, library, "b", standby);
        b.ready().await;
        until("both gaps", async || fleet.envelopes(GAP).len() >= 2).await;
        fleet.sim.stop_chat().await;
        until("the rest on the bus, or in a gap", async || lost_in_silence(&fleet, since).is_empty()).await;
    });
    tokio::time::timeout(Duration::from_secs(120), join_all(runs)).await.unwrap();
}

/// A standby that has read beside the leader takes over without a gap, whatever its clock says: it knows from the bus that
/// the leader was still there when it had begun.
#[tokio::test(flavor = "multi_thread")]
async fn who_read_beside_the_leader_takes_over_without_a_gap() {
    let Some(library) = faketime("e2e clocks, standbys") else { return };
    let runs = [(0, 0), (0, -20), (0, 20), (4, 0)].map(|(first, second)| async move {
        let fleet = fleet().await;
        let mut a = instance(&fleet, library, "a", first);
        a.ready().await;
        fleet.leader().await;
        let b = instance(&fleet, library, "b", second);
        b.ready().await;
        let since = unix_ms();
        tokio::time::sleep(Duration::from_secs(8)).await;
        a.lose_host().await;
        until("the other's lead", async || b.get("/leader").await.is_some_and(|(code, _)| code == 200)).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        fleet.sim.stop_chat().await;
        until("the rest on the bus", async || lost_in_silence(&fleet, since).is_empty()).await;
        assert_eq!(fleet.envelopes(GAP).len(), 0, "clocks at {first:+} and {second:+} s");
    });
    tokio::time::timeout(Duration::from_secs(120), join_all(runs)).await.unwrap();
}

/// Three instances whose clocks are 4 s ahead, 20 s behind and 20 s ahead, through losses of hosts and of all connections:
/// whatever is not on the bus lies in a gap, in true time, and nothing is there twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_with_clocks_apart_loses_nothing_in_silence() {
    let Some(library) = faketime("e2e clocks, fleet") else { return };
    let fleet = fleet().await;
    let clocks = [("a", 4), ("b", -20), ("c", 20)];
    let mut instances: Vec<Instance> =
        clocks.map(|(name, seconds)| instance(&fleet, library, name, seconds)).into_iter().collect();
    for instance in &instances {
        instance.ready().await;
    }
    let since = unix_ms();
    for round in 0..6 {
        let before = fleet.bodies().len();
        until("chat", async || fleet.bodies().len() > before + 150).await;
        if round % 2 == 0 {
            fleet.sim.fault(Fault::Refuse { for_ms: 900 }).unwrap();
            fleet.sim.fault(Fault::Cut { select: Select::All, how: Default::default() }).unwrap();
        }
        let leader = fleet.leader().await;
        let at = clocks.iter().position(|(name, _)| *name == leader.holder.as_str()).unwrap();
        if round > 0 {
            instances[at].lose_host().await;
            until("another leader", async || fleet.lease().await.is_some_and(|record| record.term > leader.term)).await;
            instances[at] = instance(&fleet, library, clocks[at].0, clocks[at].1);
        }
        for instance in &instances {
            instance.ready().await;
        }
    }
    fleet.sim.stop_chat().await;
    until("the rest on the bus, or in a gap", async || lost_in_silence(&fleet, since).is_empty()).await;
    let verdict = fleet.verdict();
    assert_eq!((verdict.doubled.count, verdict.altered.count, verdict.unknown.count), (0, 0, 0), "{verdict:?}");
    assert!(verdict.gaps > 0, "{verdict:?}");
}

/// A clock that is set while its instance runs, before a loss of the connection or in the midst of it: the gap holds what
/// nobody read in true time, and the step is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_hides_no_gap() {
    let Some(library) = faketime("e2e clocks, steps") else { return };
    let runs = [("-20s", true), ("-20s", false), ("+20s", false)].map(|(offset, before)| async move {
        let fleet = patient_fleet("4s").await;
        let file = fleet.folder.path().join("clock");
        std::fs::write(&file, "+0s\n").unwrap();
        let environment = [
            ("LD_PRELOAD", library),
            ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_DISABLE_SHM", "1"),
        ];
        let a = fleet.instance_under("a", &[], &environment);
        a.ready().await;
        fleet.leader().await;
        let since = unix_ms();
        until("some chat", async || fleet.bodies().len() > 200).await;
        let set = || std::fs::write(&file, format!("{offset}\n")).unwrap();
        if before {
            set();
            until("the step", async || a.log().contains("the wall clock has stepped")).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        fleet.sim.fault(Fault::Refuse { for_ms: 1_500 }).unwrap();
        fleet.sim.fault(Fault::Cut { select: Select::All, how: Default::default() }).unwrap();
        if !before {
            tokio::time::sleep(Duration::from_millis(500)).await;
            set();
        }
        until("both gaps", async || fleet.envelopes(GAP).len() >= 2).await;
        fleet.sim.stop_chat().await;
        until("the rest on the bus, or in a gap", async || lost_in_silence(&fleet, since).is_empty()).await;
        assert!(a.log().contains("the wall clock has stepped"));
    });
    tokio::time::timeout(Duration::from_secs(120), join_all(runs)).await.unwrap();
}
