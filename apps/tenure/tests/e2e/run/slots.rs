//! Slots: so many at a time and no more, and nobody holds two.

use std::collections::BTreeSet;

use rustix::process::Signal;

use super::{KEY, LONG, Scene, send, until};

/// Three slots let three run, the fourth waits, and gets the slot of the first that ends, however it ends.
#[test]
fn so_many_run_at_a_time() {
    let scene = Scene::new();
    let flags = ["--ttl", LONG, "--slots", "3"];
    let script = "echo $$ $TENURE_KEY >> \"$BEATS\"; exec sleep 1000";
    let mut runs: Vec<_> = (0..3).map(|_| scene.run(&flags, script)).collect();
    let lines = || std::fs::read_to_string(scene.file("beats")).unwrap_or_default().lines().count();
    until("three commands", || lines() == 3);
    let held = || scene.leases().iter().map(|lease| lease.key.to_string()).collect::<BTreeSet<_>>();
    let all: BTreeSet<String> = (0..3).map(|slot| format!("{KEY}/{slot}")).collect();
    assert_eq!(held(), all);
    let (code, _, errors) = scene.output(&["--slots", "3", "--no-wait"], "echo ran");
    assert_eq!(code, Some(76));
    let refusal = format!("tenure: all 3 slots of {KEY} are held, the first of them, for another ");
    assert!(errors.starts_with(&refusal) && errors.ends_with("; not waiting\n"), "{errors}");
    for end in 0..3 {
        let next = scene.run(&flags, script);
        next.waits();
        assert_eq!(lines(), 3 + end);
        let ended = &mut runs[end];
        if end == 0 {
            ended.signal(Signal::TERM);
        } else {
            send(ended.pid(), Signal::KILL);
        }
        until("the next command", || lines() == 4 + end);
        assert_eq!(held(), all);
        runs.push(next);
    }
    let keys = std::fs::read_to_string(scene.file("beats")).unwrap();
    let keys: BTreeSet<&str> = keys.lines().take(3).filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(keys.len(), 3, "two held the same slot");
}

/// Runs that start at the same moment each find a slot at once, as nobody takes two.
#[test]
fn nobody_takes_two_slots() {
    for _ in 0..3 {
        let scene = Scene::new();
        // The store is made before, so that all meet in it.
        assert!(scene.leases().is_empty());
        let flags = ["--ttl", LONG, "--slots", "4", "--no-wait"];
        let mut runs: Vec<_> = (0..4).map(|_| scene.run(&flags, "echo >> \"$BEATS\"; exec sleep 1000")).collect();
        until("four commands", || {
            for run in &mut runs {
                assert!(run.child.try_wait().unwrap().is_none(), "no slot: {}", run.errors());
            }
            std::fs::read_to_string(scene.file("beats")).unwrap_or_default().lines().count() == 4
        });
    }
}

/// Who was asked to give up its slot leaves that one to others, and takes another one that is free without waiting for it.
#[test]
fn who_gave_up_a_slot_takes_another() {
    let scene = Scene::new();
    let flags = ["--ttl", LONG, "--renew", "300ms", "--slots", "2", "--restart"];
    let run = scene.run(&flags, "echo $TENURE_KEY >> \"$BEATS\"; exec sleep 1000");
    let keys = || -> Vec<String> {
        let text = std::fs::read_to_string(scene.file("beats")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    until("a command", || keys().len() == 1);
    let resign = ["resign", "--lease", &keys()[0], "--store", &scene.store()].map(str::to_owned);
    assert!(crate::fleet::tenure().args(resign).status().unwrap().success());
    let resigned_at = tokio::time::Instant::now();
    until("another command", || keys().len() == 2);
    // A claim of the old slot would have waited for two request timeouts, of 5 s each: one of them leaves room for doubt.
    assert!(resigned_at.elapsed() < std::time::Duration::from_secs(5), "it waited for its old slot");
    assert_ne!(keys()[0], keys()[1]);
    assert_eq!(scene.leases().len(), 1);
    drop(run);
}
