//! The flags of `tenure run` that people bring along from `flock` and its kin, and where the key may stand.

use std::process::Stdio;

use super::{KEY, LONG, Scene};
use crate::fleet::tenure;

/// A run with exactly these arguments, in a home of its own: its code, output and errors.
fn run(scene: &Scene, arguments: &[&str]) -> (Option<i32>, String, String) {
    run_with(scene, arguments, &[])
}

fn run_with(scene: &Scene, arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = tenure();
    command.arg("run").args(arguments).env("XDG_STATE_HOME", scene.folder.path()).env("TMPDIR", scene.folder.path());
    command.envs(environment.iter().copied());
    let output = command.stdout(Stdio::piped()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The key may stand first or be named; the command may be one or a line for the shell, whose exit code is the run's.
#[test]
fn the_key_may_stand_first() {
    let scene = Scene::new();
    let store = scene.store();
    let tell = "echo $TENURE_KEY:$1; exit 3";
    for arguments in [
        &["k", "-s", &store, "--", "sh", "-c", tell, "sh", "x"][..],
        &["-s", &store, "-n", "k", "-t", "5s", "--", "sh", "-c", tell, "sh", "x"],
        &["--lease", "k", "-s", &store, "--", "sh", "-c", tell, "sh", "x"],
        &["--lease", "k", "-s", &store, "sh", "-c", tell, "sh", "x"],
        &["-lk", "-s", &store, "sh", "-c", tell, "sh", "x"],
    ] {
        assert_eq!(run(&scene, arguments), (Some(3), "k:x\n".into(), String::new()), "{arguments:?}");
    }
    for arguments in [
        &["k", "-s", &store, "-c", "echo $TENURE_KEY:x | cat; exit 3"][..],
        &["-s", &store, "--lease=k", "-w", "5s", "--command", "echo $TENURE_KEY:x | cat; exit 3"],
    ] {
        assert_eq!(run(&scene, arguments), (Some(3), "k:x\n".into(), String::new()), "{arguments:?}");
    }
}

/// What can be read in two ways, or says too little or too much, is refused with the way to say it.
#[test]
fn what_is_ambiguous_is_refused() {
    let scene = Scene::new();
    for (arguments, words) in [
        (&["k", "echo", "ran"][..], "tenure run k -- echo"),
        (&["./backup", "now"], "tenure run ./backup -- now"),
        (&["k", "-c", "echo ran", "more"], "\"more\""),
        (&["k", "--lease", "j", "--", "echo", "ran"], "twice"),
        (&["k"], "KEY -c LINE"),
        (&["--", "echo", "ran"], "--lease <KEY>"),
        (&["k", "-c", "echo ran", "--", "echo", "ran"], "cannot be used with"),
        (&["k", "-q", "-v", "--", "echo", "ran"], "cannot be used with"),
        (&["k", "-E", "256", "--", "echo", "ran"], "256"),
        (&["k", "--log-format", "xml", "--", "echo", "ran"], "json"),
    ] {
        let (code, out, err) = run(&scene, arguments);
        assert_eq!((code, out.as_str()), (Some(64), ""), "{arguments:?}: {err}");
        assert!(err.contains(words), "{arguments:?}: {words:?} not in {err}");
    }
}

/// `-E N` takes the place of 76 where the lease was not to be had, and `-q` leaves the reason out; errors are told all the same.
#[test]
fn a_conflict_has_its_own_exit_code() {
    let scene = Scene::new();
    let store = scene.store();
    let _leader = scene.beating(&["--ttl", LONG, "--holder", "first"]);
    scene.next_tree(None);
    for (flags, code, told) in [
        (&["-n"][..], 76, true),
        (&["-n", "-E", "5"], 5, true),
        (&["-n", "-q", "--conflict-exit-code", "0"], 0, false),
        (&["-w", "200ms", "--quiet", "-E", "1"], 1, false),
        (&["--nonblock", "-E7"], 7, true),
    ] {
        let arguments = [&[KEY, "-s", &store], flags, &["--", "echo", "ran"]].concat();
        let (ended, out, err) = run(&scene, &arguments);
        assert_eq!((ended, out.as_str()), (Some(code), ""), "{flags:?}: {err}");
        assert!(if told { err.contains("is held by first") } else { err.is_empty() }, "{flags:?}: {err}");
    }
    let (code, _, err) = run(&scene, &["-qn", KEY, "-s", "redis://127.0.0.1:1", "-E", "0", "--", "echo", "ran"]);
    assert_eq!(code, Some(69), "{err}");
    assert!(err.contains("127.0.0.1:1"), "{err}");
}

/// With `--log-format json`, or its variable, every line on standard error is a JSON object, also what users are told.
#[test]
fn messages_and_logs_are_json_where_asked() {
    let scene = Scene::new();
    let store = scene.store();
    let line = "sleep 600 & exit 0";
    let check = |err: &str, messages: &[&str]| {
        let lines: Vec<serde_json::Value> = err.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        assert!(lines.iter().all(|line| line["service"] == "tenure-run" && line["severity"].is_string()), "{err}");
        for message in messages {
            let is_there =
                |line: &serde_json::Value| line["message"].as_str().is_some_and(|text| text.contains(message));
            assert!(lines.iter().any(is_there), "{message}: {err}");
        }
    };
    let flags = ["k", "-s", &store, "--log-format", "json", "-v", "-c", line];
    let (code, _, err) = run(&scene, &flags);
    assert_eq!(code, Some(0), "{err}");
    check(&err, &["left 1 process running"]);
    assert!(err.lines().count() > 1, "{err}");
    let (code, _, err) = run_with(&scene, &["k", "-s", &store, "-c", line], &[("TENURE_LOG_FORMAT", "json")]);
    assert_eq!(code, Some(0), "{err}");
    check(&err, &["left 1 process running"]);
    let refused = ["k", "-s", "redis://127.0.0.1:1", "--log-format", "json", "-n", "-c", line];
    let (code, _, err) = run(&scene, &refused);
    assert_eq!((code, err.lines().count()), (Some(69), 1), "{err}");
    check(&err, &["127.0.0.1:1"]);
    let (code, _, err) = run_with(&scene, &["k", "-s", &store, "-c", line], &[("TENURE_LOG_FORMAT", "xml")]);
    assert!(code == Some(64) && err.contains("TENURE_LOG_FORMAT") && err.contains("json"), "{err}");
}

/// Where the command line speaks of several hosts and no store is named, a line says that others do not see the lease; once, and
/// not where a store was named.
#[test]
fn a_lease_of_one_host_is_told_of() {
    let scene = Scene::new();
    let told = |arguments: &[&str], environment: &[(&str, &str)]| {
        let (code, out, err) = run_with(&scene, arguments, environment);
        assert_eq!((code, out.as_str()), (Some(0), "ran\n"), "{arguments:?}: {err}");
        let lines =
            err.lines().filter(|line| line.contains("no store is named, so k is a lease of this host alone")).count();
        assert_eq!(lines, err.lines().count(), "{err}");
        lines
    };
    let command = ["--", "echo", "ran"];
    let store = scene.store();
    for flags in [&["k", "--slots", "2"][..], &["k", "-n"], &["k", "--hold-for", "1ms"]] {
        let arguments = [flags, &command].concat();
        assert_eq!(told(&arguments, &[]), 1, "{flags:?}");
        assert_eq!(told(&[&["-q"], &arguments[..]].concat(), &[]), 1, "{flags:?}, for cron too");
        assert_eq!(told(&[&["-s", &store], &arguments[..]].concat(), &[]), 0, "{flags:?}");
        assert_eq!(told(&arguments, &[("TENURE_STORE", &store)]), 0, "{flags:?}");
    }
    assert_eq!(told(&[&["k"], &command[..]].concat(), &[]), 0, "nothing is said of others");
}

/// `tenure resign` takes the key in both ways, and no two of them.
#[test]
fn resign_takes_the_key_as_run_does() {
    let scene = Scene::new();
    let store = scene.store();
    for key in [&[KEY][..], &["--lease", KEY], &["-l", KEY]] {
        let mut leader = scene.run(&["--ttl", "2s"], "echo > \"$BEATS\"; exec sleep 1000");
        super::until("the command", || scene.file("beats").exists());
        std::fs::remove_file(scene.file("beats")).unwrap();
        let status = tenure().arg("resign").args(key).args(["-s", &store]).status().unwrap();
        assert!(status.success(), "{key:?}");
        assert_eq!(leader.end().code(), Some(75));
    }
    for wrong in [&["resign"][..], &["resign", KEY, "--lease", KEY]] {
        let output = tenure().args(wrong).args(["-s", &store]).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{wrong:?}");
    }
}

/// A hook's end is waited for where the documentation says so: the lease is free while `--on-lost` runs, and the exit comes after it.
#[test]
fn the_exit_waits_for_the_last_hook_and_the_lease_does_not() {
    let scene = Scene::new();
    let hook = format!(
        "echo > {}; until [ -e {} ]; do sleep 0.01; done",
        scene.file("hook").display(),
        scene.file("go").display()
    );
    let mut first = scene.run(&["--ttl", LONG, "--on-lost", &hook], "exit 3");
    super::until("the hook", || scene.file("hook").exists());
    let (code, out, err) = scene.output(&["--wait", "20s"], "echo ran");
    assert_eq!((code, out.as_str()), (Some(0), "ran\n"), "{err}");
    assert!(first.child.try_wait().unwrap().is_none(), "it did not wait for its hook");
    std::fs::write(scene.file("go"), "").unwrap();
    assert_eq!(first.end().code(), Some(3), "{}", first.errors());
}
