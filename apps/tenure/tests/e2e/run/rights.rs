//! What a system may not grant: handles of processes, and signals to those with other rights.

use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use super::limits::Somebody;
use super::{KEY, LONG, Scene, send, text_of, until};
use crate::fleet::alive;

/// For perl: refuses `pidfd_open` and `pidfd_send_signal` with the error of its first argument, and becomes the rest of them.
const WITHOUT_HANDLES: &str = r#"
    my $errno = shift;
    my %prctl = (x86_64 => 157, aarch64 => 167);
    my $call = $prctl{(split " ", `uname -m`)[0]} or die "SKIPPED";
    my $op = sub { pack "SCCL", @_ };
    my $filter = $op->(0x20, 0, 0, 0) . $op->(0x15, 2, 0, 434) . $op->(0x15, 1, 0, 424)
        . $op->(0x06, 0, 0, 0x7fff0000) . $op->(0x06, 0, 0, 0x00050000 | $errno);
    my $program = pack "S x6 P", length($filter) / 8, $filter;
    syscall($call, 38, 1, 0, 0, 0) == 0 or die "no_new_privs: $!";
    syscall($call, 22, 2, $program, 0, 0) == 0 or die "seccomp: $!";
    exec @ARGV or die "exec: $!";
"#;

/// Without handles (an old kernel, a filter of system calls) signals reach the command, and what has left its session is dead
/// before somebody else begins.
#[test]
fn without_handles_signals_arrive_and_nothing_outlives_the_run() {
    let Some(somebody) = Somebody::new("run rights") else { return };
    let flags = ["--ttl", LONG, "--stop-timeout", "300ms"];
    let script = r#"
        use POSIX ();
        if (!fork) { POSIX::setsid(); $SIG{TERM} = "IGNORE"; open F, ">$ENV{PLACE}/daemon"; print F "$$\n"; close F; sleep 1000 while 1 }
        $SIG{TERM} = sub { open F, ">$ENV{PLACE}/got"; close F; exit 9 };
        sleep 1000 while 1;
    "#;
    for errno in ["1", "38"] {
        let before = ["perl", "-e", WITHOUT_HANDLES, errno];
        let scene = Scene::new();
        let mut run = somebody.run(&scene, &before, &flags, script);
        let daemon: i32 = text_of(&scene.file("daemon")).trim().parse().unwrap();
        run.signal(Signal::TERM);
        assert_eq!(run.end().code(), Some(9), "{}", run.errors());
        assert!(scene.file("got").exists() && !alive(daemon), "{}", run.errors());
        assert!(scene.leases().is_empty());

        // Killed, the watchdog is stood in for, and the other way round.
        for victim in ["watchdog", "tenure"] {
            let scene = Scene::new();
            let mut run = somebody.run(&scene, &before, &flags, script);
            let daemon: i32 = text_of(&scene.file("daemon")).trim().parse().unwrap();
            let watchdog = super::deaths::child_of(run.pid()).unwrap();
            send(if victim == "watchdog" { watchdog } else { run.pid() }, Signal::KILL);
            run.end();
            until("the lease's end", || scene.leases().is_empty());
            assert!(!alive(daemon), "{victim}: {}", run.errors());
        }
    }
}

/// The doctor knows what a system does not grant, and what would.
#[test]
fn the_doctor_knows_of_missing_handles() {
    let doctor = env!("CARGO_BIN_EXE_tenure");
    let mut command = std::process::Command::new("perl");
    command.env("TENURE_CONFIG", "");
    command.args(["-e", WITHOUT_HANDLES, "38", doctor, "doctor", "--store", "memory:", "--bus", "stdout:", "--json"]);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("SKIPPED") {
        return println!("SKIPPED: run rights: no filter of system calls for this processor");
    }
    let said = String::from_utf8(output.stdout).unwrap();
    let signals = said.lines().find(|line| line.contains("\"signals\"")).unwrap_or_else(|| panic!("{said}{errors}"));
    assert!(signals.contains("\"warn\"") && signals.contains("pidfd_open(2)"), "{signals}");
}

/// Where processes are hidden (`hidepid`, systemd's `ProtectProc=`) and a command lets nobody look at it, as programs do that
/// nobody may read, it is signalled all the same, and what it left in a session of its own ends with it.
#[test]
fn what_is_hidden_is_ended_too() {
    let Some(somebody) = Somebody::new("run rights") else { return };
    let scene = Scene::new();
    let (program, hidden) = (scene.file("tenure"), scene.file("hidden"));
    std::fs::copy(env!("CARGO_BIN_EXE_tenure"), &program).unwrap();
    std::fs::copy("/usr/bin/sleep", &hidden).unwrap();
    for (path, mode) in [(scene.folder.path(), 0o777), (&*program, 0o755), (&*hidden, 0o711)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let user = somebody.user().to_string();
    let within = |flags: &[&str], script: &str| {
        let mut command = std::process::Command::new("unshare");
        command.env("TENURE_CONFIG", "");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c"]);
        command.arg("mount -t proc -o hidepid=2 proc /proc && exec \"$@\"").args(["sh", "setpriv", "--reuid", &user]);
        command.args(["--regid", &user, "--clear-groups"]).arg(&program);
        command.args(["run", "--lease", KEY, "--store", &scene.store()]).args(flags).args(["--", "sh", "-c", script]);
        command.env("PLACE", scene.folder.path()).env("TMPDIR", scene.folder.path()).env_remove("XDG_RUNTIME_DIR");
        scene.start(&mut command)
    };
    // A stop timeout that would be seen.
    let flags = ["--ttl", "120s", "--stop-timeout", "30s"];
    let mut run = within(&flags, "echo > $PLACE/ready; exec $PLACE/hidden 1000");
    until("the command, or an end", || scene.file("ready").exists() || run.child.try_wait().unwrap().is_some());
    if !scene.file("ready").exists() {
        return println!("SKIPPED: run rights: /proc cannot be mounted with hidepid: {}", run.errors());
    }
    let tenure = super::deaths::child_of(run.pid()).unwrap();
    let watchdog = super::deaths::child_of(tenure).unwrap();
    let name =
        || super::deaths::child_of(watchdog).and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok());
    until("the hidden command", || name().is_some_and(|name| name.trim() == "hidden"));
    let asked = tenure::now();
    send(tenure, Signal::TERM);
    assert_eq!(run.end().code(), Some(143), "{}", run.errors());
    assert!(tenure::now().since(asked) < std::time::Duration::from_secs(20));
    let mut run = within(&["--stop-timeout", "300ms"], "setsid $PLACE/hidden 1000 & sleep 0.3; exit 3");
    assert_eq!(run.end().code(), Some(3), "{}", run.errors());
    assert!(run.errors().contains("left 1 process running"), "{}", run.errors());
    until("the end of what was left", || somebody.processes().is_empty());
}

/// A command that has taken other rights cannot be ended by who started it: that is said at once, and the lease is renewed
/// and handed to nobody for as long as it lives.
#[test]
fn what_cannot_be_ended_keeps_the_lease() {
    let Some(somebody) = Somebody::new("run rights") else { return };
    for strike in ["asked", "watchdog"] {
        let scene = Scene::new();
        let setuid = scene.file("setuid");
        std::fs::copy("/usr/bin/setpriv", &setuid).unwrap();
        std::fs::set_permissions(&setuid, std::fs::Permissions::from_mode(0o4755)).unwrap();
        let script = r#"
            $SIG{TERM} = "DEFAULT";
            exec "$ENV{PLACE}/setuid", "--reuid=0", "--regid=0", "--clear-groups", "sh", "-c",
                "echo \$\$ > $ENV{PLACE}/pid; exec sleep 1000";
        "#;
        let flags = ["--ttl", "2s", "--stop-timeout", "200ms"];
        let mut run = somebody.run(&scene, &[], &flags, script);
        until("the command, or an end", || scene.file("pid").exists() || run.child.try_wait().unwrap().is_some());
        if !scene.file("pid").exists() {
            return println!(
                "SKIPPED: run rights: no setuid programs in {}: {}",
                scene.folder.path().display(),
                run.errors()
            );
        }
        let command: i32 = text_of(&scene.file("pid")).trim().parse().unwrap();
        let uid = || std::fs::read_to_string(format!("/proc/{command}/status")).unwrap_or_default();
        until("its other rights", || uid().contains("Uid:\t0\t0\t0\t0"));
        match strike {
            "asked" => run.signal(Signal::TERM),
            _ => send(super::deaths::child_of(run.pid()).unwrap(), Signal::KILL),
        }
        until("a line that says so", || run.errors().contains("cannot end process"));
        assert!(run.errors().contains(&format!("cannot end process {command} (sleep)")), "{}", run.errors());
        // Somebody else waits for much longer than the ttl, in vain.
        let refused = scene.output(&["--wait", "5s"], "echo ran");
        assert_eq!((refused.0, refused.1.as_str()), (Some(76), ""), "{}", refused.2);
        assert!(alive(command) && run.child.try_wait().unwrap().is_none());
        send(command, Signal::KILL);
        run.end();
        let next = scene.output(&["--wait", "10s"], "echo ran");
        assert_eq!((next.0, next.1.as_str()), (Some(0), "ran\n"), "{} {}", next.2, run.errors());
        assert_eq!(run.errors().matches("cannot end process").count(), 1, "{}", run.errors());
    }
}
