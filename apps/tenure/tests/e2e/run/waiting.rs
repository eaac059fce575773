//! Waiting for the lease, and keeping it.

use std::time::Duration;

use rustix::process::Signal;
use tenure_core::{Claim, Claimed, HolderId, LeaseKey, Nonce};
use tenure_test_servers::{RedisOptions, RedisPrograms, or_skip};

use super::{KEY, LONG, Run, Scene, send, until};
use crate::fleet::{alive, tenure};

/// `--no-wait` and `--wait` give up with 76, and leave one line that says who held the lease: the trace of a job that did not
/// run.
#[test]
fn who_does_not_get_the_lease_in_time_exits_76() {
    let scene = Scene::new();
    let _leader = scene.beating(&["--ttl", LONG, "--holder", "first"]);
    scene.next_tree(None);
    let term = scene.beats()[0].term;
    let held = format!("tenure: {KEY} is held by first (term {term}), for another ");
    let (code, output, errors) = scene.output(&["--no-wait"], "echo ran");
    assert_eq!((code, output.as_str()), (Some(76), ""));
    assert!(errors.starts_with(&held) && errors.ends_with(" unless it is renewed; not waiting\n"), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    let began = tokio::time::Instant::now();
    let (code, output, errors) = scene.output(&["--wait", "300ms"], "echo ran");
    assert_eq!((code, output.as_str()), (Some(76), ""));
    let lines: Vec<&str> = errors.lines().collect();
    assert!(lines.len() == 2 && lines[0].contains("waiting for"), "{errors}");
    assert!(lines[1].starts_with(&held) && lines[1].ends_with("; gave up after 300ms"), "{errors}");
    assert!(began.elapsed() >= Duration::from_millis(300));
}

/// A Redis that has just started without its data grants nothing yet: who does not wait says so, though nobody is there.
#[test]
fn a_young_redis_is_what_refuses() {
    let Some(programs) = or_skip("run redis", true, RedisPrograms::find()) else { return };
    let redis = programs.start(RedisOptions::default()).unwrap();
    for (flags, expected) in
        [(&["--no-wait"][..], "; not waiting\n"), (&["--slots", "2", "--no-wait"], "; not waiting\n")]
    {
        let output = tenure()
            .args(["run", "--lease", KEY, "--store", &redis.url(), "--ttl", LONG])
            .args(flags)
            .args(["--", "echo", "ran"])
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(76), "{errors}");
        assert!(errors.contains("whoever held before Redis started") && errors.ends_with(expected), "{errors}");
        assert!(output.stdout.is_empty());
    }
}

/// Who did not campaign at all, as its health command did not say yes, blames nobody else.
#[test]
fn who_is_unfit_blames_nobody() {
    let scene = Scene::new();
    let (code, _, errors) = scene.output(&["--wait", "300ms", "--health-cmd", "false"], "echo ran");
    assert_eq!(code, Some(76));
    assert!(errors.contains("was not campaigned for: the health command does not say yes; gave up"), "{errors}");
}

/// To wait for no time at all is to try once: a key that is free is won, and one that is held is somebody else's.
#[test]
fn a_wait_of_no_time_is_one_try() {
    let scene = Scene::new();
    let (code, output, errors) = scene.output(&["--wait", "0s"], "echo ran");
    assert_eq!((code, output.as_str()), (Some(0), "ran\n"), "{errors}");
    let _leader = scene.beating(&["--ttl", LONG, "--holder", "first"]);
    scene.next_tree(None);
    let (code, output, errors) = scene.output(&["--wait", "0s"], "echo ran");
    assert_eq!((code, output.as_str()), (Some(76), ""));
    assert!(errors.contains("is held by first") && errors.ends_with("; not waiting\n"), "{errors}");
}

/// Who gives up is refused by nobody but others, however short the wait.
#[test]
fn who_gives_up_does_not_blame_itself() {
    let scene = Scene::new();
    for wait in ["1ns", "1ms", "3ms"] {
        let (code, _, errors) = scene.output(&["--wait", wait, "--holder", "itself"], "true");
        assert!(matches!(code, Some(0 | 76)) && !errors.contains("by itself"), "{code:?} {errors}");
    }
}

/// A store that was away for a moment and is back is not what a wait ended for: the holder is. Each time it is away is told.
#[test]
fn a_store_that_is_back_is_no_failure() {
    let scene = Scene::new();
    let store = scene.store();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // A lease that is about to run out, as far as others know, is what they claim.
    let hold = |ttl: u64| {
        let claim = Claim::new(
            LeaseKey::new(KEY).unwrap(),
            HolderId::new("first").unwrap(),
            Nonce { process: 1, campaign: 1 },
            Duration::from_secs(ttl),
        );
        let answers = runtime.block_on(async {
            let store = tenure_open::open(&store).await.unwrap();
            store.acquire(&[claim]).await.unwrap()
        });
        assert!(matches!(answers[0], Ok(Claimed::Granted { .. })), "{answers:?}");
    };
    hold(4);
    let mut standby = scene.run(&["--wait", "20s", "--ttl", "2s"], "echo ran");
    standby.waits();
    let connection = rusqlite::Connection::open(scene.file("leases.db")).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    let told = |standby: &Run| standby.errors().matches("does not do what it is asked").count();
    while told(&standby) < 2 {
        hold(10);
        connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let (before, began) = (told(&standby), tokio::time::Instant::now());
        until("a failure", || told(&standby) > before || began.elapsed() > Duration::from_secs(8));
        connection.execute_batch("ROLLBACK").unwrap();
        // How long it has to be back to count as back is not to be seen from here.
        let back = tokio::time::Instant::now();
        until("a while", || back.elapsed() > Duration::from_secs(4));
        assert!(standby.child.try_wait().unwrap().is_none(), "told {}: {}", told(&standby), standby.errors());
    }
    hold(60);
    assert_eq!(standby.end().code(), Some(76), "{}", standby.errors());
    assert!(standby.errors().contains("is held by first"), "{}", standby.errors());
}

/// Who waits long enough gets it when it comes free.
#[test]
fn who_waits_gets_the_lease_when_it_comes_free() {
    let scene = Scene::new();
    let mut leader = scene.beating(&["--ttl", LONG, "--holder", "first"]);
    scene.next_tree(None);
    let mut standby = scene.run(&["--wait", "1m"], "exit 4");
    standby.waits();
    assert!(standby.errors().contains("held by first"), "{}", standby.errors());
    leader.signal(Signal::TERM);
    leader.end();
    assert_eq!(standby.end().code(), Some(4));
}

/// With `--hold-for` the command's end is the run's end, and the lease stays: nobody else runs until the time is over.
#[test]
fn a_lease_is_held_for_its_time() {
    let scene = Scene::new();
    let (code, ..) = scene.output(&["--hold-for", "2m", "--ttl", "5s"], "exit 3");
    assert_eq!(code, Some(3));
    let left = scene.leases()[0].remaining.unwrap();
    assert!(left > Duration::from_secs(100) && left <= Duration::from_secs(120), "{left:?}");
    assert_eq!(scene.output(&["--no-wait"], "echo ran").0, Some(76));

    let scene = Scene::new();
    assert_eq!(scene.output(&["--hold-for", "1s", "--ttl", "5s"], "true").0, Some(0));
    let (code, output, _) = scene.output(&["--wait", "30s"], "echo ran");
    assert_eq!((code, output.as_str()), (Some(0), "ran\n"));
}

/// It stays also where the run is killed or asked to end before the time is over.
#[test]
fn a_lease_is_held_for_its_time_whatever_ends_the_run() {
    for (signal, whom) in [(Signal::TERM, 0), (Signal::KILL, 0), (Signal::KILL, 1), (Signal::KILL, 2)] {
        let scene = Scene::new();
        let mut run = scene.beating(&["--hold-for", "2m", "--ttl", "5s"]);
        let tree = scene.next_tree(None);
        send(tree.all()[whom], signal);
        run.end();
        tree.gone();
        let left = scene.leases()[0].remaining.unwrap();
        assert!(left > Duration::from_secs(100), "{signal:?}: {left:?}");
    }
}

/// It stays where renewals fail until the command has to end, and the store is back before the lease has run out; also
/// where the run would begin again, which it does only after that time.
#[test]
fn a_lease_is_held_for_its_time_though_renewals_fail() {
    for restart in [false, true] {
        let scene = Scene::new();
        let flags = ["--hold-for", "2m", "--ttl", "6s", "--restart"];
        let mut run = scene.beating(if restart { &flags } else { &flags[..4] });
        let tree = scene.next_tree(None);
        let term = scene.leases()[0].term;
        let connection = rusqlite::Connection::open(scene.file("leases.db")).unwrap();
        connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
        until("the command's end", || !alive(tree.command));
        connection.execute_batch("ROLLBACK").unwrap();
        if restart {
            // Longer than the lease would last without renewals.
            let ended_at = tokio::time::Instant::now();
            until("a ttl", || ended_at.elapsed() > Duration::from_secs(6));
            assert!(run.child.try_wait().unwrap().is_none());
            run.signal(Signal::TERM);
        }
        assert_eq!(run.end().code(), Some(75), "{}", run.errors());
        let leases = scene.leases();
        assert_eq!(leases[0].term, term, "somebody led in between");
        let left = leases[0].remaining.unwrap();
        assert!(left > Duration::from_secs(60), "{left:?}");
        assert_eq!(scene.check(), 1);
    }
}

/// It stays where the watchdog had to end the command, as its run was stopped, and whatever becomes of that run then.
#[test]
fn a_lease_is_held_for_its_time_though_the_run_was_stopped() {
    for signal in [Signal::CONT, Signal::KILL] {
        let scene = Scene::new();
        let mut run = scene.beating(&["--hold-for", "2m", "--ttl", "4s"]);
        let tree = scene.next_tree(None);
        run.signal(Signal::STOP);
        until("the command's end", || !alive(tree.command));
        let left = || scene.leases().first().and_then(|lease| lease.remaining);
        until("a kept lease", || left().is_some_and(|left| left > Duration::from_secs(60)));
        run.signal(signal);
        run.end();
        tree.gone();
        assert!(left().is_some_and(|left| left > Duration::from_secs(60)), "{signal:?}: {:?}", left());
    }
}

/// It stays where the watchdog, which would see to that last, was killed or stopped while only the lease was left.
#[test]
fn a_lease_is_held_for_its_time_without_a_watchdog() {
    for signal in [Signal::KILL, Signal::STOP] {
        let scene = Scene::new();
        let flags = ["--verbose", "--hold-for", "2m", "--ttl", "5s", "--restart=always"];
        let mut run = scene.run(&flags, "echo > \"$BEATS\"");
        super::text_of(&scene.file("beats"));
        let watchdog = super::deaths::child_of(run.pid()).unwrap();
        // Only then the watchdog has reported the end of the command, and its own is no failure.
        until("the command's end", || run.errors().contains("the lease is kept"));
        send(watchdog, signal);
        run.signal(Signal::TERM);
        assert_eq!(run.end().code(), Some(0), "{}", run.errors());
        assert!(!alive(watchdog));
        let left = scene.leases()[0].remaining.unwrap();
        assert!(left > Duration::from_secs(100), "{signal:?}: {left:?}");
    }
}

/// Where the store is away when the lease is to be left to itself, a run goes on trying; a signal ends it, and the watchdog
/// goes on.
#[test]
fn a_signal_ends_the_last_wait() {
    let scene = Scene::new();
    let mut run = scene.beating(&["--hold-for", "20m", "--ttl", LONG]);
    let tree = scene.next_tree(None);
    let connection = rusqlite::Connection::open(scene.file("leases.db")).unwrap();
    connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
    run.signal(Signal::TERM);
    until("the command's end", || !alive(tree.command));
    assert!(run.child.try_wait().unwrap().is_none(), "it gave up at once");
    // One that comes before the last wait has begun is for what comes before it.
    until("the run's end", || {
        run.signal(Signal::TERM);
        run.child.try_wait().unwrap().is_some()
    });
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&run.end()), Some(15), "{}", run.errors());
    assert!(alive(tree.watchdog));
    connection.execute_batch("ROLLBACK").unwrap();
    tree.gone();
    let left = scene.leases()[0].remaining.unwrap();
    assert!(left > Duration::from_secs(15 * 60), "{left:?}");
}

/// Ctrl-Z stops a run also while there is no command: it waits for the time to hold the lease to be over.
#[test]
fn a_run_without_a_command_can_be_stopped() {
    let scene = Scene::new();
    let mut run = scene.run(&["--hold-for", "2m", "--restart=always", "--on-lost", "echo > \"$BEATS\""], "true");
    super::text_of(&scene.file("beats"));
    run.signal(Signal::TSTP);
    until("a stop", || super::state(run.pid()) == Some('T'));
    run.signal(Signal::CONT);
    run.signal(Signal::TERM);
    assert_eq!(run.end().code(), Some(0));
}

/// Who is asked to hand over does, whatever is to be held.
#[test]
fn a_lease_that_is_asked_for_is_not_held() {
    let scene = Scene::new();
    let mut run = scene.beating(&["--hold-for", "2m", "--ttl", "2s"]);
    scene.next_tree(None);
    let status = crate::fleet::tenure().args(["resign", "--lease", super::KEY, "--store", &scene.store()]).status();
    assert!(status.unwrap().success());
    assert_eq!(run.end().code(), Some(75));
    assert!(scene.leases().is_empty());
}

/// A command that runs longer than its lease is to be held releases it at its end.
#[test]
fn a_longer_command_releases_at_its_end() {
    let scene = Scene::new();
    assert_eq!(scene.output(&["--hold-for", "100ms"], "sleep 0.3").0, Some(0));
    assert!(scene.leases().is_empty());
}

/// The status file says which term lasts until when, moves with the renewals, and `tenure check` reads it; both go with the
/// run.
#[test]
fn the_status_file_answers_without_the_store() {
    let scene = Scene::new();
    let script = format!(
        "{} check && echo current; {} check --term 1 || echo other; cat $TENURE_STATUS_FILE; sleep 1.5; \
         cat $TENURE_STATUS_FILE; echo $TENURE_TERM $TENURE_KEY $TENURE_HOLDER $TENURE_STATUS_FILE",
        env!("CARGO_BIN_EXE_tenure"),
        env!("CARGO_BIN_EXE_tenure")
    );
    let (code, output, errors) = scene.output(&["--ttl", "2s", "--holder", "me"], &script);
    assert_eq!(code, Some(0), "{errors}");
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(&lines[..2], ["current", "other"], "{output}");
    let line = |text: &str| {
        let words: Vec<&str> = text.split(' ').collect();
        assert_eq!(words.len(), 3, "{text}");
        (words[0].parse::<u64>().unwrap(), words[1].parse::<u64>().unwrap())
    };
    let ((term, first), (same, later)) = (line(lines[2]), line(lines[3]));
    assert!(term == same && later > first, "{output}");
    let mut last = lines[4].split(' ');
    assert_eq!(last.next().unwrap().parse(), Ok(term));
    assert_eq!((last.next(), last.next()), (Some(super::KEY), Some("me")));
    let file = std::path::Path::new(last.next().unwrap());
    assert!(!file.exists() && !file.parent().unwrap().exists(), "{file:?} is left");
    let check = |file: &std::path::Path| {
        crate::fleet::tenure().args(["check", "--status-file"]).arg(file).status().unwrap().code()
    };
    assert_eq!(check(file), Some(1), "over");
    let made = scene.file("status");
    std::fs::write(&made, "5 1\n").unwrap();
    assert_eq!(check(&made), Some(1), "long past");
    std::fs::write(&made, format!("5 {}\n", u64::MAX)).unwrap();
    assert_eq!(check(&made), Some(0));
    std::fs::write(&made, format!("5 {} 1\n", u64::MAX)).unwrap();
    assert_eq!(check(&made), Some(1), "of another time namespace");
    assert_eq!(crate::fleet::tenure().arg("check").output().unwrap().status.code(), Some(64));
}

/// A time namespace shifts the clock that the deadline is of: there nobody says that the tenure is current.
#[test]
fn another_time_namespace_is_told_nothing() {
    let scene = Scene::new();
    let tenure = env!("CARGO_BIN_EXE_tenure");
    let script = format!(
        "{tenure} check || exit 9; unshare --time --boottime -1000 true || {{ echo none; exit 0; }}
         unshare --time --boottime -1000 {tenure} check -v; echo $?"
    );
    let (_, output, errors) = scene.output(&["--ttl", "3s"], &script);
    if output == "none\n" {
        return println!("SKIPPED: run in a time namespace: unshare --time needs root: {}", errors.trim());
    }
    assert_eq!(output, "1\n", "{errors}");
    assert!(errors.contains("another time namespace"), "{errors}");
}

/// A check in a command whose tenure is over says so, also where nobody could tell the command.
#[test]
fn a_check_fails_after_the_deadline() {
    let scene = Scene::new();
    let script = format!("echo $TENURE_STATUS_FILE $$ > {}; exec sleep 1000", scene.file("where").display());
    let mut run = scene.run(&["--ttl", "2s"], &script);
    let line = super::text_of(&scene.file("where"));
    let (file, command) = line.trim().split_once(' ').unwrap();
    let watchdog = super::parent(command.parse().unwrap());
    let check = || crate::fleet::tenure().args(["check", "--status-file", file]).status().unwrap().code();
    assert_eq!(check(), Some(0));
    for pid in [run.pid(), watchdog] {
        send(pid, Signal::STOP);
    }
    until("the deadline", || check() == Some(1));
    assert!(std::path::Path::new(file).exists(), "nobody was there to remove it");
    for pid in [watchdog, run.pid()] {
        send(pid, Signal::CONT);
    }
    assert_eq!(run.end().code(), Some(75));
}
