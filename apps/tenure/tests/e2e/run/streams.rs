//! Standard streams, the environment, and what must not be in it.

use std::io::{Read, Write};
use std::process::Stdio;

use super::{KEY, LONG, Scene, state, text_of, until};

/// Standard input, output and error are the command's, byte for byte, and nothing is added.
#[test]
fn streams_are_the_commands() {
    let scene = Scene::new();
    let mut command = scene.command(&[]);
    command.args(["sh", "-c", "cat; echo said >&2"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let bytes: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
    let mut stdin = child.stdin.take().unwrap();
    let sent = bytes.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.stdout == bytes, "{} bytes came back", output.stdout.len());
    assert_eq!((output.stderr.as_slice(), output.status.code()), (&b"said\n"[..], Some(0)));
}

/// A closed standard input has nothing to read.
#[test]
fn a_closed_input_has_nothing_to_read() {
    let scene = Scene::new();
    let tenure = env!("CARGO_BIN_EXE_tenure");
    let script = format!("{tenure} run --lease {KEY} --store {} -- sh -c 'cat; echo end' <&- ", scene.store());
    let output = std::process::Command::new("sh").args(["-c", &script]).env("TENURE_CONFIG", "").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "end\n", "{output:?}");
}

/// A pipe ends when the command closes it, though the run goes on.
#[test]
fn a_pipe_ends_with_the_commands_end_of_it() {
    let scene = Scene::new();
    let mut command = scene.command(&["--ttl", LONG]);
    command.args(["sh", "-c", "echo first; exec >&-; exec sleep 1000"]).stdout(Stdio::piped());
    let mut run = scene.start(&mut command);
    let mut text = String::new();
    run.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "first\n");
    assert!(run.child.try_wait().unwrap().is_none());
}

/// The command has the descriptors, and the blocked and ignored signals, that it would have alone, whatever its caller has
/// blocked or ignored; and so have the hooks.
#[test]
fn nothing_strange_is_inherited() {
    let look = "cd /proc/self/fd; echo *; exec grep -E 'SigBlk|SigIgn' /proc/self/status";
    let masks = "exec grep -E 'SigBlk|SigIgn' /proc/self/status";
    for caller in [
        &["--default-signal"][..],
        &["--block-signal=TERM,HUP,USR1,CONT,TTOU,ALRM,PROF", "--ignore-signal=URG"],
        &["--ignore-signal=HUP,INT,QUIT,TERM,USR1,USR2,WINCH,TSTP,TTIN,TTOU,ALRM"],
        &["--block-signal", "--ignore-signal=HUP"],
    ] {
        let scene = Scene::new();
        let within = |program: &str| {
            let mut command = std::process::Command::new("env");
            command.env("TENURE_CONFIG", "");
            command.args(caller).arg(program).stdin(Stdio::null());
            command
        };
        let alone = within("sh").args(["-c", look]).output().unwrap();
        let hook = scene.file("hook");
        let mut run = within(env!("CARGO_BIN_EXE_tenure"));
        run.args(["run", "--lease", KEY, "--store", &scene.store(), "--on-lost"]);
        run.arg(format!("{masks} > {}", hook.display())).args(["--", "sh", "-c", look]);
        let output = run.output().unwrap();
        let alone = String::from_utf8(alone.stdout).unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), alone, "{caller:?}");
        let seen = std::fs::read_to_string(hook).unwrap();
        assert_eq!(seen, alone.split_once('\n').unwrap().1, "{caller:?}");
    }
}

/// Arguments arrive as they are, whatever bytes they are made of.
#[test]
fn arguments_arrive_unchanged() {
    use std::os::unix::ffi::OsStrExt;
    let scene = Scene::new();
    let odd = std::ffi::OsStr::from_bytes(b"a \xff\n\"b");
    let output = scene.command(&[]).args(["printf", "%s|"]).arg(odd).arg("--lease").output().unwrap();
    assert_eq!(output.stdout, b"a \xff\n\"b|--lease|");
}

/// What is in the store's URL reaches the watchdog without standing in an argument or in an environment that it was not in
/// already.
#[test]
fn secrets_are_not_told_to_everybody() {
    let scene = Scene::new();
    // A path is the one part of a URL that this store takes anything in.
    let secret = "hunter2";
    let url = format!("sqlite:{}", scene.file(&format!("{secret}.db")).display());
    let script = format!("echo $$ > {}; sleep 1000", scene.file("ready").display());
    let mut command = crate::fleet::tenure();
    command.args(["run", "--lease", KEY, "--ttl", LONG, "--store", &url, "--", "sh", "-c", &script]);
    let mut run = scene.start(&mut command);
    let command: i32 = text_of(&scene.file("ready")).trim().parse().unwrap();
    let watchdog = super::parent(command);
    // The command is handed the URL, of which a path is no secret.
    for (pid, file) in [(watchdog, "cmdline"), (watchdog, "environ"), (command, "cmdline")] {
        let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(secret), "{file} of {pid}");
    }
    // It does know it: with nobody else left it releases there.
    run.child.kill().unwrap();
    run.end();
    until("the watchdog's end", || !crate::fleet::alive(watchdog));
    let list = crate::fleet::tenure().args(["leases", "--json", "--store", &url]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&list.stdout), "");
}

/// A password that was given as an argument is not repeated, and where it belongs is said.
#[test]
fn a_password_in_an_argument_is_warned_of() {
    let scene = Scene::new();
    let url = "redis://:hunter2@127.0.0.1:1/0";
    let run = |command: &mut std::process::Command| {
        let output = command.args(["--lease", KEY, "--no-wait", "--", "true"]).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let errors = run(crate::fleet::tenure().args(["run", "--store", url]).current_dir(scene.folder.path()));
    assert!(errors.contains("TENURE_STORE") && errors.contains("***") && !errors.contains("hunter2"), "{errors}");
    let errors = run(crate::fleet::tenure().arg("run").env("TENURE_STORE", url));
    assert!(!errors.contains("everybody") && !errors.contains("hunter2"), "{errors}");
}

/// Who reads standard error has no say in who leads: a reader that has gone, or that takes nothing more, ends neither a
/// standby nor a leader, and changes no exit code.
#[test]
fn a_reader_of_errors_that_fails_ends_nobody() {
    for full in [false, true] {
        let scene = Scene::new();
        let leader = scene.beating(&["--ttl", LONG]);
        scene.next_tree(None);
        let (reader, errors) = std::io::pipe().unwrap();
        let reader = if full {
            let filler = errors.try_clone().unwrap();
            rustix::io::ioctl_fionbio(&filler, true).unwrap();
            while (&filler).write(&[b'x'; 4096]).is_ok() {}
            rustix::io::ioctl_fionbio(&filler, false).unwrap();
            Some(reader)
        } else {
            None
        };
        let mut standby = scene.command(&["--ttl", "2s", "--log", "debug"]);
        let standby = standby.args(["sh", "-c", super::BEAT]).stderr(errors).spawn().unwrap();
        let mut standby = super::Run { child: standby, errors: scene.file("none") };
        until("the standby's watchdog", || super::deaths::child_of(standby.pid()).is_some());
        let first = scene.next_tree(None);
        drop(leader);
        assert_eq!(scene.next_tree(Some(first)).tenure, standby.pid(), "full: {full}");
        let resign =
            crate::fleet::tenure().args(["resign", "--lease", KEY, "--store", &scene.store()]).output().unwrap();
        assert!(resign.status.success(), "{resign:?}");
        assert_eq!(standby.end().code(), Some(75), "full: {full}");
        drop(reader);
    }
}

/// The last step before the command looks at the clock: a machine that slept meanwhile starts nothing late.
#[test]
fn a_command_is_not_begun_after_its_deadline() {
    let scene = Scene::new();
    let status = scene.file("status");
    for (role, deadline, ran) in
        [("background", "5", false), ("background", "9223372036854775807", true), ("unleased", "5", true)]
    {
        std::fs::write(&status, format!("7 {deadline}\n")).unwrap();
        let mut shim = crate::fleet::tenure();
        shim.args(["exec-shim", role, &std::process::id().to_string(), "[]", "echo", "ran"])
            .env("TENURE_STATUS_FILE", &status);
        let output = shim.output().unwrap();
        let code = if ran { 0 } else { 75 };
        assert_eq!(
            (output.stdout == b"ran\n", output.status.code()),
            (ran, Some(code)),
            "{role} {deadline} {output:?}"
        );
    }
}

/// The status file's folder can be tidied away: the next tenure has another one, in which `tenure check` says the truth.
#[test]
fn a_status_file_that_was_removed_is_made_anew() {
    let scene = Scene::new();
    let tenure = env!("CARGO_BIN_EXE_tenure");
    let script = format!(
        "[ -e \"$BEATS\" ] || {{ touch \"$BEATS\"; rm -rf \"$(dirname \"$TENURE_STATUS_FILE\")\"; exit 0; }}; {tenure} check; \
         echo $? > {}; exec sleep 1000",
        scene.file("checked").display()
    );
    let mut run = scene.run(&["--ttl", LONG, "--restart=always"], &script);
    until("a check, or an end", || scene.file("checked").exists() || run.child.try_wait().unwrap().is_some());
    assert!(run.child.try_wait().unwrap().is_none(), "{}", run.errors());
    assert_eq!(text_of(&scene.file("checked")), "0\n", "{}", run.errors());
}

/// That the status file can not be replaced any more is said, and said once; the command goes on.
#[test]
fn a_status_file_that_cannot_be_replaced_is_told_of() {
    let scene = Scene::new();
    let go = scene.file("go");
    let script = format!(
        "rm -rf \"$(dirname \"$TENURE_STATUS_FILE\")\"; until [ -e {} ]; do sleep 0.02; done; sleep 0.5; exit 3",
        go.display()
    );
    let mut run = scene.run(&["--ttl", "2s", "--renew", "100ms"], &script);
    until("a word", || run.errors().contains("cannot replace the status file"));
    std::fs::write(go, "").unwrap();
    assert_eq!(run.end().code(), Some(3), "{}", run.errors());
    assert_eq!(run.errors().matches("cannot replace the status file").count(), 1, "{}", run.errors());
}

/// What a health command leaves in another session does not pile up once it has ended.
#[test]
fn what_health_commands_leave_is_reaped() {
    let scene = Scene::new();
    let asked = scene.file("asked");
    // It does not end before its child is in another session: before that it would be killed with its group.
    let health = format!("echo >> {}; left=$(setsid sh -c 'echo; exec sleep 0.05 >&-' &)", asked.display());
    let run = scene.run(&["--ttl", LONG, "--health-cmd", &health, "--health-interval", "20ms"], "exec sleep 1000");
    let children = || std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", run.pid())).unwrap();
    until("twenty checks", || std::fs::read_to_string(&asked).unwrap_or_default().lines().count() >= 20);
    let children = children();
    let ended = children.split_whitespace().filter(|pid| state(pid.parse().unwrap()) == Some('Z')).count();
    assert!(ended <= 5, "{ended} of {children}");
}
