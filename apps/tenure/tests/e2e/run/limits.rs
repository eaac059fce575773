//! Limits that a command reaches: what its end needs was made before it started.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

use super::deaths::child_of;
use super::{KEY, LONG, Run, Scene, Tree, send, until};
use crate::fleet::alive;

/// A user whom nobody else is, as limits of processes count all of a user's. Whatever that user still runs when this is
/// dropped is killed: a test that fails leaves no bomb behind.
pub(super) struct Somebody(u32);

impl Somebody {
    /// `None` where this process may not become anybody else, which is said.
    pub(super) fn new(suite: &str) -> Option<Somebody> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            println!("SKIPPED: {suite}: limits of processes bind no user that others share: run the tests as root");
            return None;
        }
        Some(Somebody(50_000 + std::process::id() % 1_000 * 10 + COUNT.fetch_add(1, Ordering::Relaxed) % 10))
    }

    /// `tenure run` as this user, who can make no control group, behind these words; the command is perl's.
    pub(super) fn run(&self, scene: &Scene, before: &[&str], flags: &[&str], script: &str) -> Run {
        use std::os::unix::fs::PermissionsExt;
        let program = scene.file("tenure");
        if !program.exists() {
            std::fs::copy(env!("CARGO_BIN_EXE_tenure"), &program).unwrap();
            for path in [scene.folder.path(), &program] {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
            }
        }
        let mut command = self.command();
        command.args(before).arg(program).args(["run", "--lease", KEY, "--store", &scene.store()]);
        command.args(flags).args(["--", "perl", "-e", script]);
        command.env("PLACE", scene.folder.path()).env("TMPDIR", scene.folder.path()).env_remove("XDG_RUNTIME_DIR");
        command.stdin(std::process::Stdio::null());
        scene.start(&mut command)
    }

    /// This user's living processes.
    pub(super) fn processes(&self) -> Vec<i32> {
        use std::os::unix::fs::MetadataExt;
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let theirs = processes.filter(|entry| entry.metadata().is_ok_and(|process| process.uid() == self.0));
        theirs.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|pid| alive(*pid)).collect()
    }

    /// Its number.
    pub(super) fn user(&self) -> u32 {
        self.0
    }

    fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.env("TENURE_CONFIG", "");
        let user = self.0.to_string();
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
        command
    }
}

impl Drop for Somebody {
    fn drop(&mut self) {
        while !self.processes().is_empty() {
            let _ = self.command().args(["perl", "-e", "kill 9, -1"]).status();
        }
    }
}

/// Forks children that ignore what asks them to end, until no more can be had, and says so.
const CROWD: &str = r#"
    $SIG{TERM} = $SIG{INT} = $SIG{HUP} = "IGNORE";
    for (;;) {
        my $child = fork;
        if (!defined $child) { open F, ">$ENV{PLACE}/full"; print F "$$\n"; close F; sleep 1000 while 1 }
        if ($child == 0) { sleep 1000 while 1 }
    }
"#;

/// A fork bomb: every process forks on and on, whatever becomes of it.
const BOMB: &str = r#"
    $SIG{TERM} = $SIG{INT} = $SIG{HUP} = "IGNORE";
    for (;;) {
        my $child = fork;
        if (!defined $child) { open F, ">$ENV{PLACE}/full"; print F "$$\n"; close F }
    }
"#;

fn tree(run: &Run) -> Tree {
    let watchdog = child_of(run.pid()).unwrap();
    Tree { tenure: run.pid(), watchdog, command: child_of(watchdog).unwrap() }
}

/// At the limit of processes everything of the command ends, whoever of a run is killed or asked, with the run's own code;
/// and nothing of it lives when somebody else begins.
#[test]
fn a_command_at_the_limit_of_processes_ends() {
    let Some(somebody) = Somebody::new("run limits") else { return };
    for (what, command) in [("a crowd", CROWD), ("a bomb", BOMB)] {
        type Strike = fn(&Run, Tree);
        let strikes: [(&str, Strike, &[i32]); 3] = [
            ("asked", |run, _| run.signal(Signal::TERM), &[137]),
            ("watchdog", |_, tree| send(tree.watchdog, Signal::KILL), &[75]),
            ("tenure", |_, tree| send(tree.tenure, Signal::KILL), &[]),
        ];
        for (whom, strike, codes) in strikes {
            let scene = Scene::new();
            let flags = ["--ttl", LONG, "--stop-timeout", "300ms"];
            let mut run = somebody.run(&scene, &["prlimit", "--nproc=100:100"], &flags, command);
            until("a full table", || scene.file("full").exists() || run.child.try_wait().unwrap().is_some());
            let tree = tree(&run);
            strike(&run, tree);
            let code = run.end().code();
            assert!(
                codes.is_empty() || code.is_some_and(|code| codes.contains(&code)),
                "{what} {whom}: {code:?} {}",
                run.errors()
            );
            assert!(!run.errors().contains("panicked"), "{what} {whom}: {}", run.errors());
            if whom != "tenure" {
                assert!(somebody.processes().is_empty(), "{what} {whom}: something outlived the run");
            }
            until("the end of everything", || somebody.processes().is_empty());
            until("the lease's end", || scene.leases().is_empty());
        }
    }
}

/// Where a run can just be started with so few descriptors, it can be ended with them.
#[test]
fn a_run_with_few_descriptors_ends() {
    let scene = Scene::new();
    let start = |limit: u32| {
        let mut command = Command::new("prlimit");
        command.env("TENURE_CONFIG", "");
        command.arg(format!("--nofile={limit}")).arg(env!("CARGO_BIN_EXE_tenure"));
        command.args([
            "run",
            "--lease",
            KEY,
            "--store",
            &scene.store(),
            "--ttl",
            LONG,
            "--stop-timeout",
            "300ms",
            "--",
        ]);
        let script = "trap '' TERM; setsid sh -c 'trap \"\" TERM; while :; do sleep 0.01; done' & echo $! > \"$PLACE/pid\"; \
                      while :; do sleep 0.01; done";
        command.args(["sh", "-c", script]).env("PLACE", scene.folder.path()).env("TMPDIR", scene.folder.path());
        command.stdin(std::process::Stdio::null());
        scene.start(&mut command)
    };
    let begins = |run: &mut Run| {
        until("a command, or an end", || scene.file("pid").exists() || run.child.try_wait().unwrap().is_some());
        scene.file("pid").exists()
    };
    let least = (3..100).find(|limit| {
        let mut run = start(*limit);
        let began = begins(&mut run);
        run.signal(Signal::TERM);
        run.end();
        let _ = std::fs::remove_file(scene.file("pid"));
        assert!(!run.errors().contains("panicked"), "{limit}: {}", run.errors());
        until("the lease's end", || scene.leases().is_empty());
        began
    });
    let least = least.expect("a hundred descriptors are enough");
    for limit in least..least + 3 {
        for (victim, code) in [(true, Some(75)), (false, Some(137))] {
            let mut run = start(limit);
            assert!(begins(&mut run), "{}", run.errors());
            let daemon: i32 = super::text_of(&scene.file("pid")).trim().parse().unwrap();
            match victim {
                true => send(tree(&run).watchdog, Signal::KILL),
                false => run.signal(Signal::TERM),
            }
            assert_eq!(run.end().code(), code, "{limit}: {}", run.errors());
            assert!(!alive(daemon), "{limit}: {}", run.errors());
            until("the lease's end", || scene.leases().is_empty());
            std::fs::remove_file(scene.file("pid")).unwrap();
        }
    }
}

/// Where a run can just be started with so little memory, it can be ended with it.
#[test]
fn a_run_with_little_memory_ends() {
    let scene = Scene::new();
    let start = |mebibytes: u64| {
        let mut command = Command::new("prlimit");
        command.env("TENURE_CONFIG", "");
        command.arg(format!("--as={}", mebibytes << 20)).arg(env!("CARGO_BIN_EXE_tenure"));
        command.args([
            "run",
            "--lease",
            KEY,
            "--store",
            &scene.store(),
            "--ttl",
            LONG,
            "--no-wait",
            "--stop-timeout",
            "300ms",
            "--",
        ]);
        let script = "trap '' TERM; setsid sleep 1000 & echo $! > \"$PLACE/pid\"; while :; do sleep 0.01; done";
        command.args(["sh", "-c", script]).env("PLACE", scene.folder.path()).env("TMPDIR", scene.folder.path());
        command.stdin(std::process::Stdio::null());
        scene.start(&mut command)
    };
    let begins = |run: &mut Run| {
        until("a command, or an end", || scene.file("pid").exists() || run.child.try_wait().unwrap().is_some());
        scene.file("pid").exists()
    };
    let (mut little, mut enough) = (1, 4096);
    while enough - little > 2 {
        let middle = (little + enough) / 2;
        let mut run = start(middle);
        if begins(&mut run) {
            enough = middle;
        } else {
            little = middle;
        }
        run.signal(Signal::KILL);
        run.end();
        until("the lease's end", || scene.leases().is_empty());
        let _ = std::fs::remove_file(scene.file("pid"));
    }
    let mut struck = 0;
    for mebibytes in [enough, enough + 2, enough + 8, enough + 32] {
        let mut run = start(mebibytes);
        if !begins(&mut run) {
            // How much is needed differs a little from start to start.
            continue;
        }
        let daemon: i32 = super::text_of(&scene.file("pid")).trim().parse().unwrap();
        let tree = tree(&run);
        send(tree.watchdog, Signal::KILL);
        run.end();
        until("the end of everything", || !alive(daemon) && !alive(tree.command));
        until("the lease's end", || scene.leases().is_empty());
        std::fs::remove_file(scene.file("pid")).unwrap();
        struck += 1;
    }
    assert!(struck > 0);
}

/// On a disk that is full no lease is renewed and no status file replaced: the command is dead in time, and the lease free
/// for others once there is room.
#[test]
fn a_run_on_a_full_disk_ends_in_time() {
    let scene = Scene::new();
    let disk = scene.file("disk");
    std::fs::create_dir(&disk).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tenure-test"]).arg(&disk).output().unwrap();
    if !mounted.status.success() {
        return println!(
            "SKIPPED: run on a full disk: mount needs root: {}",
            String::from_utf8_lossy(&mounted.stderr).trim()
        );
    }
    let unmount = Unmount(disk.clone());
    let store = format!("sqlite:{}", disk.join("leases.db").display());
    let mut command = crate::fleet::tenure();
    command.args(["run", "--lease", KEY, "--store", &store, "--ttl", "3s", "--", "sh", "-c", super::BEAT]);
    command.env("BEATS", scene.file("beats")).env("TMPDIR", &disk).env_remove("XDG_RUNTIME_DIR");
    let mut run = scene.start(&mut command);
    let tree = scene.next_tree(None);
    // What the store gives up to begin its log anew is taken at once, or it would renew in that room for ever.
    let (stays_full, filling) = (std::sync::atomic::AtomicBool::new(true), disk.join("filler"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut filler = std::fs::File::create(filling).unwrap();
            while stays_full.load(std::sync::atomic::Ordering::Relaxed) {
                while std::io::Write::write(&mut filler, &[1; 4096]).is_ok_and(|written| written > 0) {}
                std::thread::sleep(std::time::Duration::from_micros(100));
            }
        });
        until("the run's end", || run.child.try_wait().unwrap().is_some());
        stays_full.store(false, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(run.end().code(), Some(75), "{}", run.errors());
    assert!(!alive(tree.command) && !alive(tree.watchdog));
    std::fs::remove_file(disk.join("filler")).unwrap();
    let after = crate::fleet::tenure()
        .args(["run", "--lease", KEY, "--store", &store, "--wait", "20s", "--", "true"])
        .output()
        .unwrap();
    assert!(after.status.success(), "{}", String::from_utf8_lossy(&after.stderr));
    drop(unmount);
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
