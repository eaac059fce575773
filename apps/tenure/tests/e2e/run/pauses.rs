//! Pauses: whoever of a run is stopped, its command is dead at its deadline, and nothing is continued after it.

use rustix::process::Signal;

use super::{LONG, Scene, Tree, send, state, until};
use crate::fleet::alive;

/// Short enough to wait for.
const TTL: &str = "3s";

/// Stops these processes of the leader, lets a standby take over, continues the first of them; answers the leader's exit
/// code.
fn paused(stopped: impl Fn(Tree) -> Vec<i32>) -> Option<i32> {
    let scene = Scene::new();
    let mut leader = scene.beating(&["--ttl", TTL]);
    let tree = scene.next_tree(None);
    let standby = scene.beating(&["--ttl", TTL]);
    standby.waits();
    let stopped = stopped(tree);
    for pid in stopped.iter().rev() {
        send(*pid, Signal::STOP);
        until("a stop", || state(*pid) == Some('T'));
    }
    scene.next_tree(Some(tree));
    assert!(!alive(tree.command) || stopped.contains(&tree.command), "the command outlived its tenure");
    let beats = scene.beats().len();
    send(stopped[0], Signal::CONT);
    until("the command's end", || !alive(tree.command));
    for pid in &stopped[1..] {
        send(*pid, Signal::CONT);
    }
    let code = leader.end().code();
    tree.gone();
    until("more beats", || scene.beats().len() > beats + 10);
    scene.check();
    code
}

/// A stopped `tenure run` renews nothing: its watchdog ends the command in time and releases.
#[test]
fn a_stopped_tenure_loses_to_its_watchdog() {
    assert_eq!(paused(|tree| vec![tree.tenure]), Some(75));
}

/// Everything is stopped: at the deadline nothing can act, and whoever of the two goes on first kills the command before
/// it could go on too.
#[test]
fn a_stopped_tree_does_not_go_on_after_its_deadline() {
    assert_eq!(paused(|tree| vec![tree.tenure, tree.watchdog, tree.command]), Some(75));
    assert_eq!(paused(|tree| vec![tree.watchdog, tree.tenure, tree.command]), Some(75));
}

/// A stopped watchdog cannot end anything: `tenure run` does, when it is asked to.
#[test]
fn a_stopped_watchdog_is_cleared_away() {
    let scene = Scene::new();
    let mut leader = scene.beating(&["--ttl", TTL]);
    let tree = scene.next_tree(None);
    let standby = scene.beating(&["--ttl", TTL]);
    standby.waits();
    send(tree.watchdog, Signal::STOP);
    leader.signal(Signal::TERM);
    scene.next_tree(Some(tree));
    assert!(!alive(tree.command));
    assert_eq!(leader.end().code(), Some(137));
    scene.check();
}

/// With a stopped watchdog and a store that does not answer, `tenure run` itself kills the command before the deadline.
#[test]
fn the_deadline_holds_without_watchdog_and_store() {
    let scene = Scene::new();
    let mut leader = scene.beating(&["--ttl", TTL]);
    let tree = scene.next_tree(None);
    send(tree.watchdog, Signal::STOP);
    let connection = rusqlite::Connection::open(scene.file("leases.db")).unwrap();
    connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let locked_at = scene.beats().len();
    until("the command's end", || !alive(tree.command));
    assert!(scene.beats().len() > locked_at + 10, "it ended at once: nothing was shown");
    connection.execute_batch("ROLLBACK").unwrap();
    assert_eq!(leader.end().code(), Some(75), "{}", leader.errors());
    tree.gone();
}

/// A stopped watchdog sees no end of its command: `tenure run` does, clears away and releases, with the command's own code.
#[test]
fn a_stopped_watchdog_hides_no_end() {
    let scene = Scene::new();
    let mut leader = scene.beating(&["--ttl", LONG]);
    let tree = scene.next_tree(None);
    let standby = scene.beating(&["--ttl", LONG]);
    standby.waits();
    send(tree.watchdog, Signal::STOP);
    until("a stop", || state(tree.watchdog) == Some('T'));
    send(tree.command, Signal::KILL);
    scene.next_tree(Some(tree));
    assert_eq!(leader.end().code(), Some(137), "{}", leader.errors());
    tree.gone();
    scene.check();
}

/// A stopped `tenure run` settles nothing: its watchdog gives the lease up for it once the command has ended.
#[test]
fn a_stopped_tenure_holds_no_lease_without_work() {
    let scene = Scene::new();
    let mut leader = scene.beating(&["--ttl", LONG]);
    let tree = scene.next_tree(None);
    let standby = scene.beating(&["--ttl", LONG]);
    standby.waits();
    send(tree.tenure, Signal::STOP);
    until("a stop", || state(tree.tenure) == Some('T'));
    send(tree.command, Signal::KILL);
    scene.next_tree(Some(tree));
    send(tree.tenure, Signal::CONT);
    assert_eq!(leader.end().code(), Some(137), "{}", leader.errors());
    assert!(leader.errors().contains("is stopped, and its command has ended"), "{}", leader.errors());
    scene.check();
}

/// A watchdog that answers nothing any more protects nobody: the command is ended, and somebody else begins.
#[test]
fn a_silent_watchdog_is_replaced_with_its_command() {
    let scene = Scene::new();
    let mut leader = scene.beating(&["--ttl", TTL]);
    let tree = scene.next_tree(None);
    let standby = scene.beating(&["--ttl", TTL]);
    standby.waits();
    send(tree.watchdog, Signal::STOP);
    let next = scene.next_tree(Some(tree));
    assert_eq!(next.tenure, standby.pid());
    assert!(!alive(tree.command));
    assert_eq!(leader.end().code(), Some(75), "{}", leader.errors());
    assert!(leader.errors().contains("the watchdog has failed"), "{}", leader.errors());
    scene.check();
}

/// A store that does not answer for three ttls ends the tenure, and is found again with everything in it.
#[test]
fn a_store_out_of_reach_ends_the_tenure_and_a_later_one_follows() {
    let scene = Scene::new();
    let _run = scene.beating(&["--ttl", "1s", "--restart"]);
    let tree = scene.next_tree(None);
    let connection = rusqlite::Connection::open(scene.file("leases.db")).unwrap();
    connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
    until("the command's end", || !alive(tree.command));
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(alive(tree.tenure), "a restart was asked for");
    connection.execute_batch("ROLLBACK").unwrap();
    let next = scene.next_tree(Some(tree));
    assert_eq!(next.tenure, tree.tenure);
    scene.check();
}
