//! Crowds: however many processes a command has, in sessions of their own and deaf to requests, they are dead before
//! somebody else begins.

use rustix::process::Signal;

use super::deaths::child_of;
use super::limits::Somebody;
use super::{KEY, Scene, send, until};

/// So many, within a ttl that leaves little time.
const MANY: usize = 2_000;
const TTL: &str = "3s";

/// Starts that many children, each in a session of its own, which ignore what asks them to end; says when all are there.
fn crowd(many: usize) -> String {
    format!(
        r#"
        use POSIX ();
        $SIG{{TERM}} = $SIG{{INT}} = $SIG{{HUP}} = "IGNORE";
        for (1..{many}) {{
            my $child = fork;
            defined $child or die "fork: $!";
            if ($child == 0) {{ POSIX::setsid(); sleep 1000 while 1 }}
        }}
        open F, ">$ENV{{PLACE}}/full"; print F "$$\n"; close F;
        sleep 1000 while 1;
        "#
    )
}

/// With `tenure run` stopped its watchdog alone ends the crowd, and the store lets somebody else begin when the ttl is over:
/// nobody of the crowd is left then. Without a control group, as such a user can make none.
#[test]
fn a_crowd_is_dead_before_somebody_else_begins() {
    let Some(somebody) = Somebody::new("run crowds") else { return };
    let scene = Scene::new();
    let flags = ["--ttl", TTL, "--stop-timeout", "300ms"];
    let mut run = somebody.run(&scene, &["prlimit", "--nproc=8000:8000"], &flags, &crowd(MANY));
    until("the crowd, or an end", || scene.file("full").exists() || run.child.try_wait().unwrap().is_some());
    assert!(scene.file("full").exists(), "{}", run.errors());
    // A renewal, so that the watchdog has seen them all.
    let status =
        || std::fs::read_to_string(status_file(child_of(child_of(run.pid()).unwrap()).unwrap())).unwrap_or_default();
    let before = status();
    until("a renewal", || status() != before);
    send(run.pid(), Signal::STOP);
    let script = format!("ps -o pid= -U {} | wc -l", somebody.user());
    let mut next = crate::fleet::tenure();
    next.args(["run", "--lease", KEY, "--store", &scene.store(), "--ttl", TTL, "--", "sh", "-c", &script]);
    let output = next.output().unwrap();
    let left: usize = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    // `tenure run` is stopped, and its watchdog settles.
    assert!(left <= 2, "{left} were left when somebody else began: {}", run.errors());
    send(run.pid(), Signal::CONT);
    assert_eq!(run.end().code(), Some(75), "{}", run.errors());
    until("the end of everything", || somebody.processes().is_empty());
}

fn status_file(command: i32) -> String {
    let environment = std::fs::read(format!("/proc/{command}/environ")).unwrap_or_default();
    let text = String::from_utf8_lossy(&environment).into_owned();
    text.split('\0').find_map(|pair| pair.strip_prefix("TENURE_STATUS_FILE=")).unwrap_or_default().to_owned()
}

/// Where a control group can be made the command is in one, with all that it starts; one write ends it, and the group goes.
#[test]
fn a_crowd_in_a_control_group_ends_at_once() {
    let scene = Scene::new();
    let mut command = scene.command(&["--ttl", TTL, "--stop-timeout", "300ms"]);
    command.env("PLACE", scene.folder.path()).args(["perl", "-e", &crowd(MANY)]);
    let mut run = scene.start(&mut command);
    until("the crowd", || scene.file("full").exists());
    let command = child_of(child_of(run.pid()).unwrap()).unwrap();
    let group = std::fs::read_to_string(format!("/proc/{command}/cgroup")).unwrap();
    let group = group.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned();
    if !group.contains("/tenure-run-") {
        return println!(
            "SKIPPED: run in a control group: none can be made here: run as root where cgroup2 is mounted"
        );
    }
    run.signal(Signal::TERM);
    assert_eq!(run.end().code(), Some(137), "{}", run.errors());
    assert!(run.errors().contains("killed what had not ended in time"), "{}", run.errors());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount =
        mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4)).unwrap();
    until("the group's end", || !std::path::Path::new(&format!("{mount}{group}")).exists());
    assert!(scene.leases().is_empty());
}

/// Where `tenure run` and its watchdog were killed together, the command's group tells the next run what they left.
#[test]
fn what_two_deaths_left_is_ended_by_the_next_run() {
    let scene = Scene::new();
    let mut command = scene.command(&["--ttl", "1500ms"]);
    let script = "setsid sh -c 'echo $$ > \"$PLACE/pid\"; while :; do sleep 0.01; done' & exec sleep 1000";
    let mut run = scene.start(command.env("PLACE", scene.folder.path()).args(["sh", "-c", script]));
    let daemon: i32 = super::text_of(&scene.file("pid")).trim().parse().unwrap();
    // It is moved after a while, where it can be.
    let group = || std::fs::read_to_string(format!("/proc/{daemon}/cgroup")).unwrap();
    let begun = tenure::now();
    until("a group of its own, where there can be one", || {
        group().contains("/tenure-run-") || tenure::now().since(begun) > std::time::Duration::from_secs(10)
    });
    let group = group();
    let watchdog = child_of(run.pid()).unwrap();
    for (pid, signal) in [(run.pid(), Signal::STOP), (watchdog, Signal::KILL), (run.pid(), Signal::KILL)] {
        send(pid, signal);
    }
    run.end();
    if !group.contains("/tenure-run-") {
        send(daemon, Signal::KILL);
        return println!(
            "SKIPPED: run in a control group: none can be made here: run as root where cgroup2 is mounted"
        );
    }
    assert!(crate::fleet::alive(daemon), "somebody ended it already");
    // In a container whose first process reaps nobody, whom it was left to stays a zombie: that one is dead.
    let look = format!(
        "case \"$(cut -d')' -f2 /proc/{daemon}/stat 2> /dev/null)\" in ''|' Z'*) ;; *) echo alive ;; esac; echo ran"
    );
    let (code, output, errors) = scene.output(&["--wait", "20s"], &look);
    assert_eq!((code, output.as_str()), (Some(0), "ran\n"), "{errors}");
    assert!(errors.contains("ended what an earlier run had left"), "{errors}");
}
