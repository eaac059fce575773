//! Log lines that operators' alerts know by their words.

use std::process::{Child, Stdio};

use serde_json::Value;

use crate::fleet::{Fleet, quick, tenure, until};
use crate::operators::ran;

const KEY: &str = "system/ircLeader";

/// An instance that logs text to a file. Dropping it kills it.
struct Plain(Child);

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What follows time and level in a line of a text log.
fn said(line: &str) -> &str {
    let after_time = line.split_once(' ').map_or("", |(_, rest)| rest.trim_start());
    after_time.split_once(' ').map_or("", |(_, rest)| rest)
}

/// The lines of a lease and of the election have the words that alerts look for: in a text log they are what follows time and
/// level, in JSON the `message`. Why leadership was lost is a code, and a sentence beside it.
#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_an_election_are_literal() {
    let fleet = Fleet::new(quick(1, 20.0), "3s").await;
    let json = fleet.instance_with("json", &["--log", "debug"]);
    json.ready().await;
    fleet.leader().await;
    let log = fleet.folder.path().join("text.log");
    let text = tenure()
        .args(["ingest", "--instance", "text", "--channel", "sim_channel_001", "--ttl", "3s"])
        .args(["--store", &fleet.store_url(), "--bus", &fleet.bus_url()])
        .args(["--irc-url", &format!("irc://{}", fleet.sim.addresses().irc)])
        .args(["--log", "debug", "--log-format", "text"])
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .map(Plain)
        .unwrap();
    let messages = || -> Vec<Value> { json.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect() };
    let has = |message: &str| messages().iter().any(|line| line["message"] == message);
    until("a renewal", async || has("Lease renewed: instance=json endpoint=system/ircLeader")).await;
    let resign = || ran(tenure().args(["resign", "--lease", KEY, "--store", &fleet.store_url()]));
    assert_eq!(resign().code, Some(0));
    let released = |name: &str, reason: &str| format!("Lease released: instance={name} endpoint={KEY} reason={reason}");
    until("the release", async || has(&released("json", "resign_requested"))).await;
    for message in [
        "LeaderElection: Starting leader election loop",
        "LeaderElection: Acquired leadership",
        "LeaderElection: Lost leadership",
        "Tenure: Starting IRC subsystem (leader acquired)",
        "Tenure: Stopping IRC subsystem (leadership lost)",
        &format!("Lease acquired: instance=json endpoint={KEY}"),
    ] {
        assert!(has(message), "no {message:?} in\n{}", json.log());
    }
    for lost in ["LeaderElection: Lost leadership", "Tenure: Stopping IRC subsystem (leadership lost)"] {
        let all = messages();
        let line = all.iter().find(|line| line["message"] == lost).unwrap();
        assert_eq!(
            (&line["reason"], &line["detail"]),
            (&"resign_requested".into(), &"asked to resign".into()),
            "{line}"
        );
    }

    let read = || std::fs::read_to_string(&log).unwrap();
    let tells = |words: &str| read().lines().any(|line| said(line) == words);
    until("the other's renewal", async || tells(&format!("Lease renewed: instance=text endpoint={KEY}"))).await;
    assert!(tells(&format!("Lease acquired: instance=text endpoint={KEY}")), "{}", read());
    assert_eq!(resign().code, Some(0));
    until("the other's release", async || tells(&released("text", "resign_requested"))).await;
    for words in [
        "LeaderElection: Starting leader election loop",
        "LeaderElection: Acquired leadership",
        "LeaderElection: Lost leadership",
        "Tenure: Starting IRC subsystem (leader acquired)",
        "Tenure: Stopping IRC subsystem (leadership lost)",
    ] {
        assert!(read().lines().any(|line| said(line).starts_with(words)), "no {words:?} in\n{}", read());
    }
    let lost =
        read().lines().any(|line| said(line).contains("Lost leadership") && line.contains(" reason=resign_requested "));
    assert!(lost, "{}", read());
    drop(text);
}
