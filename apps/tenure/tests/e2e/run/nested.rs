//! A run in the command of a run: for another lease as ever, for its own refused, as it would wait for itself.

use super::{KEY, Scene};

const TENURE: &str = env!("CARGO_BIN_EXE_tenure");

/// A run that waits for the lease of the run around it would wait for ever, so it is called wrongly; one that waits for a while, or not
/// at all, has its exit code, and the reason.
#[test]
fn a_run_does_not_wait_for_itself() {
    let scene = Scene::new();
    let inner = |flags: &str| {
        let (code, out, err) = scene.output(&[], &format!("{TENURE} run {KEY} {flags} -- echo ran; exit $?"));
        assert_eq!(out, "", "{flags}: {err}");
        (code, err)
    };
    for flags in ["", "--restart", &format!("--store {}", scene.store())] {
        let (code, err) = inner(flags);
        assert!(code == Some(64) && err.contains("wait for itself for ever") && err.contains("$TENURE_KEY"), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    let (code, err) = inner("--no-wait");
    assert_eq!((code, err.lines().count()), (Some(76), 1), "{err}");
    assert!(err.contains("this runs under it already (TENURE_KEY), and would wait for itself; not waiting"), "{err}");
    let (code, err) = inner("--wait 300ms -E 9");
    assert!(
        code == Some(9) && err.contains(&format!("this runs under {KEY} already (TENURE_KEY), and waits for itself")),
        "{err}"
    );
    assert_eq!(inner("-q -n -E 0"), (Some(0), String::new()));
}

/// Another key or another store is another lease, of slots another one may be free, and what is no command of a run any more is
/// under no lease.
#[test]
fn another_lease_is_run_under_as_ever() {
    let scene = Scene::new();
    let run = |flags: &[&str], script: &str| {
        let (code, out, err) = scene.output(flags, script);
        assert_eq!((code, out.as_str()), (Some(0), "ran\n"), "{err}");
        err
    };
    assert_eq!(run(&[], &format!("{TENURE} run other -- echo ran")), "");
    assert_eq!(
        run(&[], &format!("{TENURE} run {KEY} --store sqlite:{} -- echo ran", scene.file("other.db").display())),
        ""
    );
    let err = run(&["--slots", "2"], &format!("{TENURE} run {KEY} --slots 2 -- echo ran"));
    assert!(err.contains(&format!("this runs under {KEY}/")) && err.lines().count() == 1, "{err}");
    let status = scene.file("status");
    std::fs::write(&status, "1 1\n").unwrap();
    let mut command = scene.command(&[]);
    command.args(["echo", "ran"]).env("TENURE_KEY", KEY).env("TENURE_STORE", scene.store());
    let output = command.env("TENURE_STATUS_FILE", &status).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The first line of a script that is to run once at a time: with its arguments, and not a second time inside.
#[test]
fn a_script_holds_a_lease_for_itself() {
    let scene = Scene::new();
    let script = scene.file("script.sh");
    let text = format!(
        "#!/bin/sh\n[ \"$TENURE_KEY\" = self ] || exec {TENURE} run self -s {} -- \"$0\" \"$@\"\n\
         echo \"$TENURE_KEY $# $2\"; exit 5\n",
        scene.store()
    );
    std::fs::write(&script, text).unwrap();
    let output = std::process::Command::new("sh").arg(&script).args(["one", "two words"]).output().unwrap();
    // Not executable: a shell that was given the file runs it, but nobody else.
    assert_eq!(output.status.code(), Some(126), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let output = std::process::Command::new(&script).args(["one", "two words"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "self 2 two words\n");
    assert_eq!((output.status.code(), output.stderr.is_empty()), (Some(5), true));
}
