//! Configuration: precedence, clear refusals, exit codes.

use crate::fleet::tenure;

fn run(args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let output = tenure().args(args).envs(env.iter().copied()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// `--check` shows each value with its source, and no secret.
#[test]
fn check_shows_the_effective_configuration() {
    let env = [("TWITCH_CHANNELS", "x"), ("TENURE_STORE", "redis://u:hunter2@h/0"), ("PUBLISH_MAX_RETRIES", "7")];
    let (code, out, err) = run(&["ingest", "--check", "--ttl", "3s"], &env);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("ttl = \"3s\"  # flag"), "{out}");
    assert!(out.contains("publish-max-retries = \"7\"  # environment PUBLISH_MAX_RETRIES"), "{out}");
    assert!(!out.contains("hunter2") && !err.contains("hunter2"));
}

/// What is wrong is named, with its source and the way to mend it, and the exit code says usage.
#[test]
fn mistakes_are_named() {
    for (args, words) in [
        (&["ingest"][..], "no channel is given"),
        (&["ingest", "--channel", "x", "--ttl", "15"], "ttl"),
        (&["ingest", "--channel", "x", "--ttl", "15"], "15s"),
        (&["ingest", "--channel", "x", "--set", "stop_timout=3s"], "\"stop-timeout\""),
        (&["ingest", "--channel", "x", "--set", "stop_timeout=14s"], "ttl > renew-interval + stop-timeout + margin"),
        (&["ingest", "--channel", "x", "--standby", "tepid"], "tepid"),
        (&["ingest", "--channel", "x", "--ring-bytes", "0"], "ring-bytes: "),
        (&["ingest", "--channel", "x", "--irc-url", "http://x"], "irc-url: "),
        (&["ingest", "--channel", "x", "--http", "8080"], ":PORT"),
        (&["ingest", "--channel", "x", "--bus", "kafka:x"], "\"kafka\""),
        (&["ingest", "--channel", "x", "--bus", "pubsub://me:hunter2@h", "--check"], "not built in"),
        (&["ingest", "--channel", "x", "--store", "mysql://me:hunter2@h", "--bus", "stdout:"], "not built in"),
        (&["ingest", "--channel", "x", "--store", "hunter2", "--bus", "stdout:"], "sqlite:PATH"),
        (&["tail", "--bus", "hunter2"], "sqlite:PATH"),
        (&["tail", "--bus", "stdout:"], "cannot be followed"),
        (&["no-such-command"], "no-such-command"),
    ] {
        let (code, _, err) = run(args, &[]);
        assert_eq!(code, Some(64), "{args:?}: {err}");
        assert!(err.contains(words), "{args:?}: {words:?} not in {err}");
        assert!(!err.contains("hunter2"), "{args:?}: {err}");
    }
}

/// A store or bus that cannot be reached at the start ends with 69.
#[test]
fn an_unreachable_store_ends_with_69() {
    for (store, bus) in [("sqlite:/no/such/folder/l.db", "stdout:"), ("memory:", "sqlite:/no/such/folder/b.db")] {
        let args = ["ingest", "--channel", "x", "--store", store, "--bus", bus, "--irc-url", "irc://127.0.0.1:9"];
        let (code, _, err) = run(&args, &[]);
        assert_eq!(code, Some(69), "{store} {bus}: {err}");
        assert!(err.contains("/no/such/folder"), "{err}");
    }
}

/// Help has examples; the list of stores says what is built in.
#[test]
fn help_and_stores_orient() {
    let (code, out, _) = run(&["ingest", "--help"], &[]);
    assert!(code == Some(0) && out.contains("Examples:"));
    let (code, out, _) = run(&["stores", "--json"], &[]);
    assert!(code == Some(0) && out.lines().any(|line| line.contains("\"sqlite\"") && line.contains("true")));
}

/// Where store and bus are named, no home is needed; where they are not, the error names the flag that would help.
#[test]
fn a_home_is_needed_for_the_defaults_only() {
    let run = |args: &[&str]| {
        let output = tenure().args(args).env_remove("HOME").env_remove("XDG_STATE_HOME").output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let named = ["ingest", "--channel", "x", "--store", "memory:", "--bus", "stdout:", "--check"];
    assert_eq!(run(&named), (Some(0), String::new()));
    for (args, flag) in [(&["ingest", "--channel", "x", "--check"][..], "--store"), (&["tail"], "--bus")] {
        let (code, err) = run(args);
        assert!(code == Some(64) && err.contains(flag) && err.contains("HOME"), "{err}");
    }
}

/// Output that cannot be written is an error with a code, and a reader that has gone is none; neither is a panic.
#[test]
fn output_that_cannot_be_written_is_no_panic() {
    for args in [&["stores"][..], &["stores", "--json"], &["ingest", "--channel", "x", "--check"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = tenure().args(args).stdout(full).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.starts_with("tenure: ") && !err.contains("panicked"), "{err}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = tenure().args(args).stdout(writer).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
