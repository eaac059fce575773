//! Deaths: whoever of a run is killed, everything of it is dead before somebody else leads, and that is soon.

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};

use super::{LONG, Run, Scene, Tree, send, until};
use crate::fleet::alive;

/// How often each death is died. The soak test does more of them.
const ROUNDS: usize = 5;

/// Lets whatever leads die in this way again and again, with a standby beside it; nothing ever overlaps, and no round waits
/// for the ttl.
fn rounds(victim: impl Fn(Tree) -> i32) {
    let scene = Scene::new();
    let mut leader = scene.beating(&["--ttl", LONG]);
    let mut tree = scene.next_tree(None);
    for _ in 0..ROUNDS {
        let standby = scene.beating(&["--ttl", LONG]);
        standby.waits();
        send(victim(tree), Signal::KILL);
        let next = scene.next_tree(Some(tree));
        assert!(!alive(tree.command), "two commands at a time");
        assert_eq!(next.tenure, standby.pid());
        leader.end();
        tree.gone();
        (leader, tree) = (standby, next);
    }
    leader.signal(Signal::TERM);
    leader.end();
    assert_eq!(scene.check(), ROUNDS + 1);
    assert!(scene.leases().is_empty(), "a lease was left");
}

/// A command that is killed is a release.
#[test]
fn a_killed_command_is_a_release() {
    rounds(|tree| tree.command);
}

/// So is a killed `tenure run`: its watchdog ends the command and releases.
#[test]
fn a_killed_tenure_is_a_release() {
    rounds(|tree| tree.tenure);
}

/// So is a killed watchdog: `tenure run` clears away and releases.
#[test]
fn a_killed_watchdog_is_a_release() {
    rounds(|tree| tree.watchdog);
}

/// A grandchild that left the session, ignores requests and has lost its parent dies before somebody else leads,
/// whoever of the three was killed.
#[test]
fn a_daemon_does_not_outlive_its_tenure() {
    let daemon = "setsid sh -c 'trap \"\" TERM HUP INT; while :; do read up rest < /proc/uptime; \
                  echo \"$up $PPID $TENURE_TERM\" > /dev/null; echo $$ >> \"$DAEMONS\"; sleep 0.005; done' & ";
    for victim in [|tree: Tree| tree.command, |tree: Tree| tree.tenure, |tree: Tree| tree.watchdog] {
        let scene = Scene::new();
        let daemons = scene.file("daemons");
        let start = |daemon: &str| -> Run {
            let mut command = scene.command(&["--ttl", LONG, "--stop-timeout", "300ms"]);
            command.env("DAEMONS", &daemons).args(["sh", "-c", &format!("{daemon}{}", super::BEAT)]);
            scene.start(&mut command)
        };
        let mut leader = start(daemon);
        let tree = scene.next_tree(None);
        let pid: i32 = super::text_of(&daemons).lines().next().unwrap().parse().unwrap();
        let standby = start("");
        standby.waits();
        send(victim(tree), Signal::KILL);
        scene.next_tree(Some(tree));
        assert!(!alive(pid), "the daemon {pid} lives while somebody else leads");
        leader.end();
        scene.check();
    }
}

/// What a command leaves behind when it ends by itself is asked to end, and killed where it does not.
#[test]
fn what_a_command_leaves_behind_ends_too() {
    let scene = Scene::new();
    let script = "setsid sh -c 'trap \"echo asked > $PWD/asked; exit\" TERM; echo $$ > polite; \
                  while :; do sleep 0.01; done' & \
                  setsid sh -c 'trap \"\" TERM; echo $$ > stubborn; while :; do sleep 0.01; done' & \
                  while ! [ -s polite ] || ! [ -s stubborn ]; do sleep 0.01; done; exit 5";
    let mut command = scene.command(&["--ttl", LONG, "--stop-timeout", "1s"]);
    let mut run = scene.start(command.current_dir(scene.folder.path()).args(["sh", "-c", script]));
    assert_eq!(run.end().code(), Some(5), "{}", run.errors());
    assert!(scene.file("asked").exists());
    for name in ["polite", "stubborn"] {
        let pid = super::text_of(&scene.file(name)).trim().parse().unwrap();
        assert!(!alive(pid), "{name} is left");
    }
    assert!(scene.leases().is_empty());
}

/// Killed together, `tenure run` and its watchdog leave their status file behind; the next run tidies it away, and no other
/// one that is in use.
#[test]
fn a_left_status_file_is_swept() {
    let scene = Scene::new();
    let script = "echo $TENURE_STATUS_FILE >> \"$BEATS\"; exec sleep 1000";
    let files = || -> Vec<std::path::PathBuf> {
        let text = std::fs::read_to_string(scene.file("beats")).unwrap_or_default();
        text.lines().map(std::path::PathBuf::from).collect()
    };
    let used = scene.run(&["--ttl", LONG, "--slots", "3"], script);
    until("a status file", || files().len() == 1);
    let mut left = scene.run(&["--ttl", LONG, "--slots", "3"], script);
    until("two status files", || files().len() == 2);
    let watchdog = child_of(left.pid()).unwrap();
    // Neither may see the other die.
    for (pid, signal) in [(left.pid(), Signal::STOP), (watchdog, Signal::KILL), (left.pid(), Signal::KILL)] {
        send(pid, signal);
    }
    left.end();
    until("the watchdog's end", || !alive(watchdog));
    assert!(files()[1].exists(), "nobody was there to remove it");
    let next = scene.run(&["--ttl", LONG, "--slots", "3"], script);
    until("three status files", || files().len() == 3);
    assert!(!files()[1].parent().unwrap().exists(), "it is still there");
    assert!(files()[0].exists() && files()[2].exists(), "one in use was removed");
    drop((used, next));
}

/// A standby that is killed leaves nothing, and nobody notices.
#[test]
fn a_killed_standby_leaves_nothing() {
    let scene = Scene::new();
    let leader = scene.beating(&["--ttl", LONG]);
    scene.next_tree(None);
    let mut standby = scene.beating(&["--ttl", LONG]);
    standby.waits();
    let mut watchdog = None;
    until("the standby's watchdog", || {
        watchdog = child_of(standby.pid());
        watchdog.is_some()
    });
    standby.signal(Signal::KILL);
    standby.end();
    until("the watchdog's end", || watchdog.is_some_and(|pid| !alive(pid)));
    assert_eq!(scene.leases().len(), 1);
    leader.signal(Signal::TERM);
}

/// A watchdog that dies during the campaign is replaced before it is needed.
#[test]
fn a_standby_replaces_its_watchdog() {
    let scene = Scene::new();
    let leader = scene.beating(&["--ttl", LONG]);
    let tree = scene.next_tree(None);
    let standby = scene.beating(&["--ttl", LONG]);
    standby.waits();
    let first = child_of(standby.pid()).unwrap();
    send(first, Signal::KILL);
    until("another watchdog", || child_of(standby.pid()).is_some_and(|pid| pid != first));
    leader.signal(Signal::TERM);
    let next = scene.next_tree(Some(tree));
    assert_eq!(next.tenure, standby.pid());
    assert_ne!(next.watchdog, first);
    scene.check();
}

/// A standby whose watchdogs die one after the other replaces them, ever later, and waits on; with the lease it runs its
/// command.
#[test]
fn a_standby_survives_dying_watchdogs() {
    let scene = Scene::new();
    let leader = scene.beating(&["--ttl", LONG]);
    let tree = scene.next_tree(None);
    let standby = scene.beating(&["--ttl", LONG]);
    standby.waits();
    let began = tokio::time::Instant::now();
    let mut killed = std::collections::BTreeSet::new();
    until("two seconds", || {
        if let Some(watchdog) = child_of(standby.pid()) {
            send(watchdog, Signal::KILL);
            killed.insert(watchdog);
        }
        began.elapsed() > std::time::Duration::from_secs(2)
    });
    assert!((2..10).contains(&killed.len()), "{killed:?}");
    leader.signal(Signal::TERM);
    let next = scene.next_tree(Some(tree));
    assert_eq!(next.tenure, standby.pid());
    assert!(!killed.contains(&next.watchdog));
    scene.check();
}

/// A standby that cannot start a watchdog says so once and tries on; where it wins meanwhile, it gives the lease back.
#[test]
fn a_standby_without_a_watchdog_does_not_lead() {
    let scene = Scene::new();
    let leader = scene.beating(&["--ttl", LONG]);
    scene.next_tree(None);
    let mut standby = scene.run(&["--ttl", LONG], "echo ran > \"$BEATS.ran\"");
    standby.waits();
    let pid = Pid::from_raw(standby.pid());
    let limit = getrlimit(Resource::Nofile);
    // Nothing can be opened any more.
    let none = Rlimit { current: Some(3), maximum: limit.maximum };
    let failures = |standby: &Run| standby.errors().matches("; trying on").count();
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", standby.pid())).unwrap().count();
    let with_watchdog = descriptors();
    prlimit(pid, Resource::Nofile, none).unwrap();
    send(child_of(standby.pid()).unwrap(), Signal::KILL);
    until("a failure", || failures(&standby) == 1);
    prlimit(pid, Resource::Nofile, limit).unwrap();
    let mut watchdog = None;
    until("another watchdog", || {
        watchdog = child_of(standby.pid());
        // What watches it needs a descriptor too.
        watchdog.is_some() && descriptors() >= with_watchdog
    });
    prlimit(pid, Resource::Nofile, none).unwrap();
    send(watchdog.unwrap(), Signal::KILL);
    until("its burial", || child_of(standby.pid()).is_none());
    leader.signal(Signal::TERM);
    assert_eq!(standby.end().code(), Some(69), "{}", standby.errors());
    assert!(standby.errors().contains("cannot make a pair of sockets"), "{}", standby.errors());
    assert_eq!(failures(&standby), 1, "{}", standby.errors());
    assert!(scene.leases().is_empty() && !scene.file("beats.ran").exists());
}

/// A standby whose watchdog is stopped cannot run anything: it gives the lease that it wins to others, and says so.
#[test]
fn a_stopped_watchdog_does_not_lead() {
    let scene = Scene::new();
    let leader = scene.beating(&["--ttl", LONG]);
    scene.next_tree(None);
    let mut standby = scene.run(&["--ttl", LONG], "echo ran > \"$BEATS.ran\"");
    standby.waits();
    let watchdog = child_of(standby.pid()).unwrap();
    send(watchdog, Signal::STOP);
    until("a stop", || super::state(watchdog) == Some('T'));
    leader.signal(Signal::TERM);
    assert_eq!(standby.end().code(), Some(75), "{}", standby.errors());
    assert!(standby.errors().contains("the watchdog has failed"), "{}", standby.errors());
    assert!(scene.leases().is_empty() && !alive(watchdog));
    assert!(!scene.file("beats.ran").exists());
}

/// A child of this process, where it has one.
pub(super) fn child_of(pid: i32) -> Option<i32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers.find(|child| {
        std::fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| {
            let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            rest.split_whitespace().nth(1).and_then(|parent| parent.parse().ok()) == Some(pid)
        })
    })
}
