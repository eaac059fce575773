//! Ends: signals and what becomes of them, exit codes, the lease afterwards.

use std::os::unix::process::{CommandExt, ExitStatusExt};

use rustix::process::{Pid, Signal};

use super::{KEY, LONG, Scene, text_of, until};
use crate::fleet::{alive, tenure};

/// The exit code is the command's own, or says which signal ended it.
#[test]
fn the_exit_code_is_the_commands() {
    let scene = Scene::new();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)] {
        let (got, _, errors) = scene.output(&[], script);
        assert_eq!(got, Some(code), "{script}: {errors}");
        assert_eq!(errors, "", "{script}");
    }
    assert!(scene.leases().is_empty());
}

/// What cannot be run is told before the lease is waited for.
#[test]
fn a_command_that_cannot_be_run_is_told_at_once() {
    let scene = Scene::new();
    let holder = scene.beating(&["--ttl", LONG]);
    scene.next_tree(None);
    for (command, code, says) in
        [("no-such-command", 127, "command not found"), ("/etc/passwd", 126, "cannot be run: permission denied")]
    {
        let output = scene.command(&[]).arg(command).output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains(says) && errors.contains(command), "{errors}");
    }
    drop(holder);
}

/// A script that is there, and whose interpreter is not, is not taken for one that is not there.
#[test]
fn a_missing_interpreter_is_told_at_once() {
    let scene = Scene::new();
    let _holder = scene.beating(&["--ttl", LONG]);
    scene.next_tree(None);
    let script = scene.file("script");
    std::fs::write(&script, "#!/no/such/interpreter -x\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let output = scene.command(&["--wait", "5s"]).arg(&script).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(127), "{errors}");
    let expected =
        format!("tenure: {}: its interpreter /no/such/interpreter, which the first line names", script.display());
    assert!(errors.starts_with(&expected), "{errors}");
}

/// Without a place for the status file nothing is campaigned for, and the remedy is told. Where the place goes while the
/// lease is waited for, nothing is run and nothing is kept: another host may do it.
#[test]
fn a_status_file_needs_a_place() {
    let scene = Scene::new();
    let nowhere = scene.file("nowhere");
    let without = |command: &mut std::process::Command| {
        command.env("XDG_RUNTIME_DIR", &nowhere).env("TMPDIR", &nowhere).args(["echo", "ran"]);
    };
    let mut command = scene.command(&["--hold-for", "1h"]);
    without(&mut command);
    let output = command.output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{errors}");
    assert!(errors.contains("set XDG_RUNTIME_DIR or TMPDIR") && output.stdout.is_empty(), "{errors}");
    assert!(scene.leases().is_empty());

    let mut holder = scene.beating(&["--ttl", LONG]);
    scene.next_tree(None);
    std::fs::create_dir(&nowhere).unwrap();
    let mut command = scene.command(&["--hold-for", "1h"]);
    without(&mut command);
    let mut standby = scene.start(&mut command);
    standby.waits();
    std::fs::remove_dir(&nowhere).unwrap();
    holder.signal(Signal::TERM);
    holder.end();
    assert_eq!(standby.end().code(), Some(69), "{}", standby.errors());
    assert!(standby.errors().contains("set XDG_RUNTIME_DIR or TMPDIR"), "{}", standby.errors());
    assert!(scene.leases().is_empty());
}

/// Wrong calls are refused with 64 and the remedy, and a store that cannot be reached with 69.
#[test]
fn wrong_calls_and_lost_stores_have_their_codes() {
    let scene = Scene::new();
    let folder = scene.file("no/such/folder/leases.db");
    let unreachable = format!("sqlite:{}", folder.display());
    for (flags, code, says) in [
        (&["--store", "memory:"][..], 64, "use sqlite:PATH"),
        (&["--store", "mongodb://me:hunter2@host/"], 64, "unknown scheme"),
        (
            &["--ttl", "5s", "--stop-timeout", "5s"],
            64,
            "--ttl > --renew + --stop-timeout + --margin does not hold: 5s <= 1.667s + 5s + 667ms",
        ),
        (
            &["--ttl", "2s", "--renew", "1s", "--stop-timeout", "700ms", "--margin", "260ms"],
            64,
            "--ttl >= --renew + --stop-timeout + --margin + 50ms",
        ),
        (&["--ttl", "5"], 64, "write it with a unit"),
        (&["--stop-signal", "GO"], 64, "TERM, INT"),
        (&["--wait", "1s", "--no-wait"], 64, "cannot be used with"),
        (&["--slots", "0"], 64, "from 1 to 1000"),
        (&["--store", &unreachable], 69, "no/such/folder"),
    ] {
        let output = tenure().args(["run", "--lease", KEY]).args(flags).args(["--", "true"]).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {errors}");
        assert!(errors.contains(says) && !errors.contains("hunter2"), "{flags:?}: {errors}");
    }
}

/// SIGTERM, SIGINT and SIGHUP reach the command, which may take its time, and whose code counts.
#[test]
fn requests_to_end_reach_the_command() {
    for (signal, name) in [(Signal::TERM, "TERM"), (Signal::INT, "INT"), (Signal::HUP, "HUP")] {
        let scene = Scene::new();
        let script = format!(
            "trap 'sleep 0.2; echo got {name} > {0}/got; exit 9' {name}; echo > {0}/ready; while :; do sleep 0.01; done",
            scene.folder.path().display()
        );
        let mut run = scene.run(&["--ttl", LONG], &script);
        text_of(&scene.file("ready"));
        run.signal(signal);
        assert_eq!(run.end().code(), Some(9), "{}", run.errors());
        assert_eq!(text_of(&scene.file("got")).trim(), format!("got {name}"));
        assert!(scene.leases().is_empty(), "the lease was not released");
    }
}

/// SIGUSR1, SIGUSR2 and SIGWINCH reach the command and mean what they mean to it.
#[test]
fn other_signals_are_passed_on() {
    let scene = Scene::new();
    let place = scene.folder.path().display().to_string();
    let traps: String =
        ["USR1", "USR2", "WINCH"].iter().map(|name| format!("trap 'echo {name} > {place}/{name}' {name}; ")).collect();
    let run = scene.run(&["--ttl", LONG], &format!("{traps}echo > {place}/ready; while :; do sleep 0.01; done"));
    text_of(&scene.file("ready"));
    for (signal, name) in [(Signal::USR1, "USR1"), (Signal::USR2, "USR2"), (Signal::WINCH, "WINCH")] {
        run.signal(signal);
        assert_eq!(text_of(&scene.file(name)).trim(), name);
    }
    assert_eq!(scene.leases().len(), 1);
}

/// `--stop-signal` is what SIGTERM means to the command, and SIGKILL follows after the stop timeout.
#[test]
fn the_stop_signal_comes_first_and_then_the_kill() {
    let scene = Scene::new();
    let place = scene.folder.path().display().to_string();
    let script = format!(
        "trap 'echo > {place}/asked' USR1; trap 'echo > {place}/wrong' TERM; echo > {place}/ready; while :; do sleep 0.01; done"
    );
    let mut run = scene.run(&["--ttl", LONG, "--stop-signal", "USR1", "--stop-timeout", "500ms"], &script);
    text_of(&scene.file("ready"));
    run.signal(Signal::TERM);
    assert_eq!(run.end().code(), Some(137));
    assert!(scene.file("asked").exists() && !scene.file("wrong").exists());
    assert!(scene.leases().is_empty());
}

/// What is ignored where `tenure run` starts, as `nohup` does with SIGHUP, stays ignored.
#[test]
fn an_ignored_hangup_stays_ignored() {
    let scene = Scene::new();
    let mut command = std::process::Command::new("nohup");
    command.env("TENURE_CONFIG", "");
    command.arg(env!("CARGO_BIN_EXE_tenure")).args(["run", "--lease", KEY, "--store", &scene.store(), "--"]);
    let script = format!("kill -HUP $$; kill -HUP $PPID; echo > {}; exec sleep 1000", scene.file("ready").display());
    let mut run = scene.start(command.args(["sh", "-c", &script]).stdout(std::process::Stdio::null()));
    text_of(&scene.file("ready"));
    run.signal(Signal::HUP);
    run.signal(Signal::USR1);
    assert_eq!(run.end().code(), Some(128 + 10), "the hangup ended it");
}

/// A signal that the caller has blocked is heard all the same: passed on to a command that has it blocked, and followed by
/// the kill.
#[test]
fn a_blocked_signal_is_heard() {
    let scene = Scene::new();
    let mut command = std::process::Command::new("env");
    command.env("TENURE_CONFIG", "");
    command.args(["--block-signal=TERM,USR1", env!("CARGO_BIN_EXE_tenure"), "run", "--lease", KEY]);
    command.args(["--store", &scene.store(), "--ttl", LONG, "--stop-timeout", "300ms", "--"]);
    // A shell would clear its mask with the first command that it waits for.
    let script = format!("echo $$ > {}; exec sleep 1000", scene.file("ready").display());
    let mut run = scene.start(command.args(["sh", "-c", &script]));
    let pid = text_of(&scene.file("ready"));
    run.signal(Signal::USR1);
    until("a pending signal", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap();
        let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap();
        u64::from_str_radix(pending.trim(), 16).unwrap() & (1 << (10 - 1)) != 0
    });
    run.signal(Signal::TERM);
    assert_eq!(run.end().code(), Some(137), "{}", run.errors());
}

/// Whoever starts `tenure run` may have SIGCHLD ignored: ends are proven and told all the same.
#[test]
fn an_ignored_sigchld_hides_no_end() {
    let scene = Scene::new();
    for (script, expected) in [("sleep 0.05 & exit 3", 3), ("kill -9 $$", 137)] {
        let mut command = std::process::Command::new("env");
        command.env("TENURE_CONFIG", "");
        command.args(["--ignore-signal=CHLD", env!("CARGO_BIN_EXE_tenure"), "run", "--lease", KEY]);
        command.args(["--store", &scene.store(), "--no-wait", "--health-cmd", "true", "--", "sh", "-c", script]);
        let mut run = scene.start(&mut command);
        assert_eq!(run.end().code(), Some(expected), "{script}: {}", run.errors());
    }
}

/// A signal while waiting ends the wait, and the run by the same signal.
#[test]
fn a_signal_ends_the_wait() {
    let scene = Scene::new();
    let _leader = scene.beating(&["--ttl", LONG]);
    scene.next_tree(None);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut standby = scene.beating(&["--ttl", LONG]);
        standby.waits();
        standby.signal(signal);
        assert_eq!(standby.end().signal(), Some(signal.as_raw()), "{}", standby.errors());
    }
}

/// Where a signal that was passed on ended the command, the run dies by it too, after everything is settled: who waits for
/// it sees that it did what it was asked. Any other death by a signal is a code.
#[test]
fn a_run_dies_by_the_signal_that_was_passed_on() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let scene = Scene::new();
        let mut run = scene.beating(&["--ttl", LONG]);
        let tree = scene.next_tree(None);
        run.signal(signal);
        assert_eq!(run.end().signal(), Some(signal.as_raw()), "{}", run.errors());
        assert!(scene.leases().is_empty() && !alive(tree.command) && !alive(tree.watchdog));

        let mut run = scene.beating(&["--ttl", LONG]);
        let tree = scene.next_tree(Some(tree));
        super::send(tree.command, signal);
        assert_eq!(run.end().code(), Some(128 + signal.as_raw()), "{}", run.errors());
    }
    // What SIGTERM is passed on as counts.
    let scene = Scene::new();
    let mut run = scene.run(&["--ttl", LONG, "--stop-signal", "INT"], super::BEAT);
    scene.next_tree(None);
    run.signal(Signal::TERM);
    assert_eq!(run.end().signal(), Some(Signal::INT.as_raw()), "{}", run.errors());
}

/// Ctrl-C at a script ends the script, as it does where the command stands there alone.
#[test]
fn an_interrupted_script_does_not_go_on() {
    let scene = Scene::new();
    let script = format!(
        "{} run --lease {KEY} --store {} -- sleep 1000; echo went on > {}",
        env!("CARGO_BIN_EXE_tenure"),
        scene.store(),
        scene.file("went-on").display()
    );
    let mut command = std::process::Command::new("bash");
    command.env("TENURE_CONFIG", "");
    let mut run = scene.start(command.args(["-c", &script]).process_group(0));
    until("a lease", || scene.leases().len() == 1);
    // As the terminal does: to everybody of the script's group.
    rustix::process::kill_process_group(Pid::from_raw(run.pid()).unwrap(), Signal::INT).unwrap();
    assert_eq!(run.end().signal(), Some(Signal::INT.as_raw()), "{}", run.errors());
    assert!(!scene.file("went-on").exists() && scene.leases().is_empty());
}

/// The first process of a namespace cannot die of a signal that it asks for: it says it by its code.
#[test]
fn the_first_process_of_a_container_answers_with_a_code() {
    let mut namespace = std::process::Command::new("unshare");
    namespace.args(["--pid", "--fork", "--mount-proc", "--kill-child", "true"]);
    match namespace.output() {
        Ok(output) if output.status.success() => {}
        other => return println!("SKIPPED: run in a pid namespace: unshare --pid needs root: {other:?}"),
    }
    let scene = Scene::new();
    // Its process group is the test's, which has no number in there.
    let mut command = std::process::Command::new("unshare");
    command.env("TENURE_CONFIG", "");
    command.args([
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        env!("CARGO_BIN_EXE_tenure"),
        "run",
        "--lease",
        KEY,
    ]);
    command.args([
        "--store",
        &scene.store(),
        "--",
        "sh",
        "-c",
        &format!("echo > {}; exec sleep 1000", scene.file("ready").display()),
    ]);
    let mut run = scene.start(&mut command);
    until("the command, or an end", || scene.file("ready").exists() || run.child.try_wait().unwrap().is_some());
    assert!(scene.file("ready").exists(), "{}", run.errors());
    let first = super::deaths::child_of(run.pid()).unwrap();
    super::send(first, Signal::TERM);
    assert_eq!(run.end().code(), Some(143), "{}", run.errors());
}

/// A command that puts itself into the background ends with what it left, and a line says so; the code stays its own.
#[test]
fn what_had_to_be_ended_is_told() {
    let scene = Scene::new();
    let background = "setsid sleep 1000 & setsid sh -c 'trap \"\" TERM; echo > \"$BEATS\"; while :; do sleep 0.01; done' & \
                      until [ -e \"$BEATS\" ]; do sleep 0.01; done; exit 0";
    let (code, _, errors) = scene.output(&["--stop-timeout", "300ms"], background);
    assert_eq!(code, Some(0), "{errors}");
    let line = errors.lines().find(|line| line.contains("left")).unwrap_or_else(|| panic!("{errors}"));
    assert!(line.contains("the command has ended and left") && line.contains("(sleep)"), "{line}");
    assert!(line.contains("killed: ") && line.contains("in the foreground"), "{line}");

    // Asked to end, and not ended in time.
    let scene = Scene::new();
    let mut run = scene.run(
        &["--stop-timeout", "300ms", "--ttl", LONG],
        "trap '' TERM; echo > \"$BEATS\"; while :; do sleep 0.01; done",
    );
    until("the command", || scene.file("beats").exists());
    run.signal(Signal::TERM);
    assert_eq!(run.end().code(), Some(137));
    assert!(
        run.errors().contains("killed what had not ended in time: ") && run.errors().contains("(sh)"),
        "{}",
        run.errors()
    );

    // What ends in time is no news.
    let (code, _, errors) = scene.output(&[], "sleep 0.01 & wait; exit 0");
    assert_eq!((code, errors.as_str()), (Some(0), ""));
}

/// A holder that is asked to resign ends its command, says why, and exits 75.
#[test]
fn a_resignation_ends_the_command() {
    let scene = Scene::new();
    let mut run = scene.beating(&["--ttl", "2s"]);
    scene.next_tree(None);
    let status = tenure().args(["resign", "--lease", KEY, "--store", &scene.store()]).status().unwrap();
    assert!(status.success());
    assert_eq!(run.end().code(), Some(75));
    assert!(run.errors().contains("asked to resign"), "{}", run.errors());
    assert!(scene.leases().is_empty());
}

/// A lease that is taken away ends the command at once: its holder may not act any more.
#[test]
fn a_lease_taken_away_ends_the_command_at_once() {
    let scene = Scene::new();
    let mut run = scene.run(&["--ttl", "2s"], "trap '' TERM; while :; do sleep 0.01; done");
    until("a lease", || scene.leases().len() == 1);
    let status = tenure().args(["resign", "--force", "--lease", KEY, "--store", &scene.store()]).output().unwrap();
    assert!(status.status.success());
    assert_eq!(run.end().code(), Some(75));
}

/// With `--restart` a lost leadership is campaigned for again; with `=always` the end of the command is no end either.
#[test]
fn a_restart_campaigns_again() {
    let scene = Scene::new();
    let mut run = scene.beating(&["--ttl", "2s", "--restart"]);
    let tree = scene.next_tree(None);
    let resign = || tenure().args(["resign", "--lease", KEY, "--store", &scene.store()]).status().unwrap();
    assert!(resign().success());
    let next = scene.next_tree(Some(tree));
    assert_eq!(next.tenure, run.pid());
    super::send(next.watchdog, Signal::KILL);
    let third = scene.next_tree(Some(next));
    assert_eq!(third.tenure, run.pid());
    super::send(third.command, Signal::TERM);
    assert_eq!(run.end().code(), Some(143), "its own end is the end");
    assert_eq!(scene.check(), 3);

    let scene = Scene::new();
    let mut run = scene.run(&["--restart=always"], "echo $TENURE_TERM >> \"$BEATS\"; exit 3");
    until("three commands", || std::fs::read_to_string(scene.file("beats")).unwrap_or_default().lines().count() >= 3);
    run.signal(Signal::TERM);
    let code = run.end().code();
    assert!(matches!(code, Some(3 | 143)), "{code:?}");
    let terms = std::fs::read_to_string(scene.file("beats")).unwrap();
    let terms: Vec<u64> = terms.lines().map(|term| term.parse().unwrap()).collect();
    assert!(terms.is_sorted_by(|one, other| one < other), "{terms:?}");
    assert!(scene.leases().is_empty());
}

/// A signal that comes while a lost leadership's command is being ended is the end, whatever `--restart` says.
#[test]
fn a_signal_in_the_middle_of_a_loss_is_the_end() {
    let scene = Scene::new();
    // Told to end it says so, and takes its time.
    let script = "trap 'echo told >> \"$BEATS\"' TERM; echo begun >> \"$BEATS\"; while :; do sleep 0.01; done";
    let mut run = scene.run(&["--ttl", "4s", "--stop-timeout", "1s", "--restart=always"], script);
    let said = || std::fs::read_to_string(scene.file("beats")).unwrap_or_default();
    until("the command", || said() == "begun\n");
    // Nobody can renew: the command is told to end while there is time left.
    let store = rusqlite::Connection::open(scene.store().trim_start_matches("sqlite:")).unwrap();
    store.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    until("the loss", || said() == "begun\ntold\n");
    run.signal(Signal::TERM);
    drop(store);
    assert_eq!(run.end().code(), Some(75));
    assert_eq!(said().matches("begun").count(), 1, "nothing begins again");
}
