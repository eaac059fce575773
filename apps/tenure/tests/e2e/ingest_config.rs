//! The file of `tenure ingest --config`: keys as flags are named, units alike everywhere, and a complete example.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::fleet::tenure;
use crate::operators::{Ran, ran};

fn ingest(args: &[&str]) -> Ran {
    ran(tenure().arg("ingest").args(args))
}

/// The values of `--check`, by key.
fn checked(args: &[&str]) -> Value {
    let ran = ingest(&[args, &["--check", "--json"]].concat());
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
    let Value::Object(settings) = serde_json::from_str(&ran.out).unwrap() else { panic!("{}", ran.out) };
    settings.into_iter().map(|(key, entry)| (key, entry["value"].clone())).collect()
}

/// The values without the instance's name, which is made up anew each time.
fn checked_but_for_the_name(args: &[&str]) -> Value {
    checked(&[args, &["--instance", "me"]].concat())
}

/// What is printed is accepted, and means the defaults; so does every line of it alone, also those that are comments.
#[test]
fn the_printed_file_means_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let printed = ingest(&["--print-config"]);
    assert_eq!((printed.code, printed.err.as_str()), (Some(0), ""));
    let file = folder.path().join("ingest.toml");
    fs::write(&file, &printed.out).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(checked_but_for_the_name(&["--config", file]), checked_but_for_the_name(&["--channel", "my_channel"]));
    let told: toml::Table = printed.out.parse().unwrap();
    assert!(told.keys().all(|key| !key.contains('_')), "named as flags are: {}", printed.out);
    // A comment that shows a setting can be taken as it stands.
    let hidden: Vec<&str> = printed.out.lines().filter_map(|line| line.strip_prefix("# ")).collect();
    let hidden = hidden.iter().filter(|line| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')));
    let mut count = 0;
    for line in hidden {
        let own = folder.path().join("one.toml");
        fs::write(&own, format!("{line}\n")).unwrap();
        let key = line.split_once(" = ").unwrap().0;
        let args = ["--channel", "x", "--config", own.to_str().unwrap(), "--check"];
        let taken = ingest(&args);
        let text = format!("{}{}", taken.out, taken.err);
        assert!(
            text.contains(&format!("# file {}, line 1", own.display())) || taken.err.contains(key),
            "{line}: {text}"
        );
        assert!(!text.contains("unknown key"), "{line}: {text}");
        count += 1;
    }
    assert!(count >= 8, "{count}");
}

/// With flags it prints what they say, and no password.
#[test]
fn given_flags_are_printed() {
    let given = ["--channel", "one", "--channel", "two", "--ttl", "1m", "--ring-bytes", "64MB", "--set", "margin=3s"];
    let printed = ran(tenure()
        .args(["ingest", "--print-config"])
        .args(given)
        .env("TENURE_STORE", "redis://me:hunter2@db.internal/0")
        .env("PUBLISH_MAX_RETRIES", "7"));
    assert_eq!(printed.code, Some(0), "{}", printed.err);
    let told: toml::Table = printed.out.parse().unwrap();
    assert_eq!(told["channel"].as_array().unwrap().len(), 2);
    assert_eq!((told["ttl"].as_str(), told["ring-bytes"].as_str()), (Some("1m"), Some("64MB")));
    assert_eq!((told["margin"].as_str(), told["publish-max-retries"].as_integer()), (Some("3s"), Some(7)));
    assert!(!printed.out.contains("hunter2") && !told.contains_key("store"), "{}", printed.out);
    assert!(printed.out.contains("# store = \"redis://me:***@db.internal/0\""), "{}", printed.out);
    for wrong in [&["--ttl", "15"][..], &["--log", "inof"], &["--ring-bytes", "1KB"]] {
        assert_eq!(ingest(&[&["--print-config"], wrong].concat()).code, Some(64), "{wrong:?}");
    }
}

/// The example in the guides is what is printed.
#[test]
fn the_example_of_the_guides_is_what_is_printed() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ingest.toml");
    let printed = ingest(&["--print-config"]).out;
    let written = fs::read_to_string(&example).unwrap_or_default();
    assert!(written == printed, "write it anew: tenure ingest --print-config > docs/ingest.toml\n{printed}");
}

/// Keys as flags are named and keys with underscores are the same; one that is there twice or mistyped is told with its line.
#[test]
fn keys_are_named_as_flags_are() {
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| {
        let file = folder.path().join("ingest.toml");
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let kebab =
        "channel = [\"a\", \"b\"]\nrepair-after = \"7s\"\nring-bytes = \"64MB\"\npublish-max-retries = 3\ndev = true";
    let values = checked_but_for_the_name(&["--config", &write(kebab)]);
    assert_eq!(
        values,
        checked_but_for_the_name(&["--config", &write(&kebab.replace('-', "_").replace("channel ", "channels "))])
    );
    assert_eq!((&values["channels"], &values["ring_bytes"]), (&"a,b".into(), &"64MB".into()));
    for (text, words) in [
        ("channel = \"a\"\nrepair-aftr = \"7s\"", &["line 2", "\"repair-aftr\"", "\"repair-after\""][..]),
        ("channel = \"a\"\nring_bytes = 1\nring-bytes = 2", &["line 3", "twice", "line 2"]),
        ("channel = \"a\"\n\nttl = 15", &["ttl", "15s for seconds", "line 3"]),
    ] {
        let ended = ingest(&["--config", &write(text), "--check"]);
        assert!(ended.code == Some(64) && words.iter().all(|word| ended.err.contains(word)), "{text}: {}", ended.err);
    }
    let set = checked_but_for_the_name(&["--set", "channel=x", "--set", "repair-after=9s"]);
    assert_eq!((&set["channels"], &set["repair_after"]), (&"x".into(), &"9s".into()));
}

/// What is printed and what is refused names keys as flags are named, and says where a value came from only where there is one.
#[test]
fn keys_are_told_as_flags_are() {
    let printed = ingest(&["-s", "memory:", "-t", "20s", "-l", "app/chat", "--channel", "x", "--check"]);
    for line in ["channel = \"x\"  # flag", "ring-bytes = \"64MiB\"  # default", "lease = \"app/chat\"  # flag"] {
        assert!(printed.out.lines().any(|printed| printed == line), "{line}: {}", printed.out);
    }
    assert!(printed.out.lines().all(|line| !line.split(' ').next().unwrap().contains('_')), "{}", printed.out);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ingest.toml");
    fs::write(&file, &printed.out).unwrap();
    assert_eq!(ingest(&["--config", file.to_str().unwrap(), "--check"]).code, Some(0), "it reads back");
    for (args, line) in [
        (
            &[][..],
            "tenure: channel: no channel is given: use --channel NAME, TWITCH_CHANNELS or channel = [..] in the file\n",
        ),
        (&["--set", "chanel=x"], "tenure: unknown key \"chanel\"; the nearest known one is \"channel\"\n"),
    ] {
        let ended = ingest(args);
        assert_eq!((ended.code, ended.err.as_str()), (Some(64), line));
    }
}

/// Times and sizes have a unit in flags, the environment, files and URLs alike; a bare number is told what it lacks.
#[test]
fn units_are_alike_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}?busy_timeout=2s&poll=10ms", folder.path().join("l.db").display());
    let bus =
        format!("sqlite:{}?max_age=1d&max_bytes=64MB&poll=10ms&busy_timeout=1s", folder.path().join("b.db").display());
    let values =
        checked(&["--channel", "x", "--store", &store, "--bus", &bus, "--ring-age", "1d", "--ring-bytes", "64MB"]);
    assert_eq!((&values["ring_age"], &values["ring_bytes"]), (&"1d".into(), &"64MB".into()));
    let environment = ran(tenure().args(["ingest", "--channel", "x", "--check"]).envs([
        ("IRC_RECONNECT_INITIAL_MS", "1s"),
        ("IRC_RECONNECT_MAX_MS", "30000"),
        ("TENURE_RING_BYTES", "64MiB"),
    ]));
    assert_eq!(environment.code, Some(0), "{}", environment.err);
    for (args, words) in [
        (&["--ring-age", "10"][..], &["ring-age: ", "10s for seconds"][..]),
        (&["--ring-bytes", "64X"], &["ring-bytes: ", "500MB", "a bare number is of bytes"]),
        (&["--store", "sqlite:x?busy_timeout=1000"], &["busy_timeout", "1000ms"]),
        (&["--bus", "sqlite:x?max_age=7"], &["max_age", "7d"]),
    ] {
        let ended = ingest(&[&["--channel", "x", "--check"], args].concat());
        assert_eq!(ended.code, Some(64), "{args:?}");
        assert!(words.iter().all(|word| ended.err.contains(word)), "{args:?}: {}", ended.err);
    }
}

/// A mistyped level is refused by everything that logs, in a line that says what there is.
#[test]
fn a_mistyped_level_is_refused() {
    for (filter, words) in [
        ("inof", &["\"inof\"", "off, error, warn, info, debug, trace", "did you mean info?"][..]),
        ("publisher=debug", &["\"publisher\"", "tenure_ingest"]),
        ("tenure_ingest=verbose", &["\"verbose\"", "off, error, warn"]),
    ] {
        let run = ["run", "--lease", "k", "--store", "sqlite:/no/such/l.db", "--log", filter, "--", "true"];
        let ingest = ["ingest", "--channel", "x", "--log", filter, "--check"];
        for ended in [
            ran(tenure().args(run)),
            ran(tenure().args(ingest)),
            ran(tenure().args(&run[..5]).args(["--", "true"]).env("TENURE_LOG", filter)),
        ] {
            assert_eq!(ended.code, Some(64), "{filter}: {}", ended.err);
            assert!(words.iter().all(|word| ended.err.contains(word)), "{filter}: {}", ended.err);
        }
    }
    assert!(checked(&["--channel", "x", "--log", "info,tenure_ingest=debug"])["log"] == "info,tenure_ingest=debug");
}
