//! The two elections over Google Firestore, by their URL alone.

use rustix::process::Signal;
use tenure_test_servers::{Firestore, FirestorePrograms, or_skip};

use crate::terminal::Terminal;
use crate::{CALLBACKS, LEADER_ELECTION};

fn emulator() -> Option<(Firestore, String)> {
    let emulator = or_skip("examples firestore", false, FirestorePrograms::find())?.start().unwrap();
    let url = format!("firestore://{}?emulator={}", emulator.new_project(), emulator.host());
    Some((emulator, url))
}

/// One of two instances leads; a killed leader is followed, and one that is asked to end hands over.
#[test]
fn the_sample_elects_in_firestore() {
    let Some((_emulator, url)) = emulator() else { return };
    let sample = |name: &str| {
        let args = ["--store", &url, "--instance-id", name, "--lease-duration-seconds", "3"];
        Terminal::open(LEADER_ELECTION, &args, &["--checks", "1", "--check-interval-seconds", "0.1"])
    };
    let mut anna = sample("anna");
    anna.wait_for("Leading: batch 2");
    let mut bert = sample("bert");
    bert.wait_for("Following: anna leads");
    assert!(!bert.output().contains("*** BecameLeader"));
    anna.kill();
    bert.wait_for("Leading: batch 1");
    let mut carl = sample("carl");
    carl.wait_for("Following: bert leads");
    assert!(bert.end(Signal::TERM).success());
    carl.wait_for("Leading: batch 1");
    assert!(carl.end(Signal::INT).success());
}

/// The callbacks of two replicas follow leadership.
#[test]
fn the_component_calls_back_in_firestore() {
    let Some((_emulator, url)) = emulator() else { return };
    let replica = |name: &str| {
        let args = ["--store", &url, "--identity", name, "--lease-duration", "3s"];
        Terminal::open(CALLBACKS, &args, &["--renew-deadline", "2s", "--retry-period", "500ms"])
    };
    let mut one = replica("pod-1");
    one.wait_for("callback: started leading");
    let mut two = replica("pod-2");
    two.wait_for("callback: new leader pod-1");
    assert!(one.end(Signal::TERM).success());
    one.wait_for("callback: stopped leading");
    two.wait_for("callback: started leading");
    two.kill();
}
