//! What holds for everybody on a host: every command takes it, nearer sources come first, and what is wrong is told in a line.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::fleet::{Started, tenure};
use crate::operators::{Place, Ran, ran};
use crate::run::until;

/// A store of one test, and a file that names it.
struct Host {
    place: Place,
}

impl Host {
    fn new() -> Host {
        let host = Host { place: Place::new() };
        host.write(&format!("store = {:?}\n", host.place.url));
        host
    }

    fn file(&self) -> PathBuf {
        self.place.folder.path().join("config/tenure/config.toml")
    }

    fn write(&self, text: &str) {
        fs::create_dir_all(self.file().parent().unwrap()).unwrap();
        fs::write(self.file(), text).unwrap();
    }

    /// A command that finds the file as its user's.
    fn tenure(&self, args: &[&str]) -> Command {
        let mut command = tenure();
        command.args(args).env_remove("TENURE_CONFIG");
        command.env("XDG_CONFIG_HOME", self.place.folder.path().join("config"));
        command.env("XDG_STATE_HOME", self.place.folder.path().join("state"));
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        ran(&mut self.tenure(args))
    }
}

/// Two runs without a word about the store share the one that the file names, and so does everybody who looks: no host runs a job
/// that another one has.
#[test]
fn every_command_takes_the_store_of_the_file() {
    let host = Host::new();
    let first = host.tenure(&["run", "--lease", "job", "--holder", "anna", "--", "sleep", "600"]).spawn().unwrap();
    let first = Started(first);
    until("anna's lease", || host.run(&["leases", "--json"]).out.contains("\"anna\""));
    assert_eq!(host.run(&["run", "--lease", "job", "--no-wait", "--", "true"]).code, Some(76));
    let who = host.run(&["who", "job"]);
    assert!(who.code == Some(0) && who.out.contains("anna"), "{who:?}");
    assert_eq!(host.run(&["wait", "job", "--timeout", "100ms"]).code, Some(76));
    let fence = host.run(&["fence", "check", "--lease", "job", "--term", "1"]);
    assert!(fence.code == Some(1) && fence.out.contains("refused"), "{fence:?}");
    let mut watch = host.tenure(&["watch", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(watch.stdout.take().unwrap()), &mut line).unwrap();
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert!(line.contains("\"anna\""), "{line}");
    let resigned = host.run(&["resign", "--lease", "job", "--force", "--json"]);
    assert!(resigned.code == Some(0) && resigned.out.contains("anna"), "{resigned:?}");
    let checked = host.run(&["ingest", "--channel", "x", "--check"]);
    assert!(checked.out.contains(&format!("store = \"{}\"  # file ", host.place.url)), "{checked:?}");
    drop(first);
    assert!(!host.place.folder.path().join("state").exists(), "nobody used the default store");
}

/// The bus of the file is the one that is read.
#[test]
fn tail_takes_the_bus_of_the_file() {
    let host = Host::new();
    let bus = host.place.folder.path().join("chat.db");
    host.write(&format!("bus = \"sqlite:{}\"", bus.display()));
    let tailed = host.run(&["tail", "--no-follow"]);
    assert!(tailed.code == Some(69) && tailed.err.contains(bus.to_str().unwrap()), "{tailed:?}");
    let tailed = ran(host.tenure(&["tail", "--no-follow"]).env("MESSAGE_BUS_DRIVER", "stdout"));
    assert!(tailed.code == Some(64) && tailed.err.contains("stdout: cannot be followed"), "{tailed:?}");
}

/// A flag comes before the environment, that before `--config`, that before the file, that before the default, and `--check` says
/// which it was.
#[test]
fn nearer_sources_come_first() {
    let host = Host::new();
    let file = host.file().display().to_string();
    let own = host.place.folder.path().join("ingest.toml");
    host.write("ttl = \"31s\"\nlog-format = \"json\"\nlog = \"debug\"\n");
    fs::write(&own, "# mine\nttl = \"32s\"\n").unwrap();
    let checked = |args: &[&str], env: &[(&str, &str)]| {
        let ran = ran(host.tenure(&["ingest", "--channel", "x", "--check"]).args(args).envs(env.iter().copied()));
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran.out
    };
    let own_args = ["--config", own.to_str().unwrap()];
    let ttl = |text: &str, source: &str| format!("ttl = \"{text}\"  # {source}\n");
    let bare = checked(&[], &[]);
    assert!(bare.contains(&ttl("31s", &format!("file {file}, line 1"))), "{bare}");
    assert!(bare.contains(&format!("log-format = \"json\"  # file {file}, line 2")), "{bare}");
    assert!(bare.contains("standby = \"warm\"  # default"), "{bare}");
    let with_config = checked(&own_args, &[]);
    assert!(with_config.contains(&ttl("32s", &format!("file {}, line 2", own.display()))), "{with_config}");
    assert!(with_config.contains("log = \"debug\"  # file "), "{with_config}");
    assert!(checked(&own_args, &[("TENURE_TTL", "33s")]).contains(&ttl("33s", "environment TENURE_TTL")));
    let flag = [&own_args[..], &["--ttl", "34s"]].concat();
    assert!(checked(&flag, &[("TENURE_TTL", "33s")]).contains(&ttl("34s", "flag")));
    assert!(checked(&[], &[("TENURE_CONFIG", "")]).contains(&ttl("15s", "default")));
    let named = checked(&[], &[("TENURE_CONFIG", own.to_str().unwrap())]);
    assert!(named.contains(&ttl("32s", &format!("file {}, line 2", own.display()))), "{named}");
}

/// `tenure run` takes ttl and logs from there too, and `tenure lease acquire` its ttl.
#[test]
fn a_run_takes_its_ttl_and_logs_from_the_file() {
    let host = Host::new();
    host.write(&format!("store = {:?}\nttl = \"7m\"\nlog = \"info\"\nlog_format = \"json\"", host.place.url));
    let looked = ["run", "--lease", "k", "--", env!("CARGO_BIN_EXE_tenure"), "leases", "--json"];
    let held = host.run(&looked);
    assert_eq!((held.code, &held.lines()[0]["ttl_ms"]), (Some(0), &420_000.into()), "{held:?}");
    assert!(
        held.err.lines().any(|line| line.starts_with('{') && line.contains("\"service\":\"tenure-run\"")),
        "{}",
        held.err
    );
    let detached = host.run(&["lease", "acquire", "other"]);
    assert_eq!((detached.code, &detached.lines()[0]["ttl_ms"]), (Some(0), &420_000.into()), "{detached:?}");
    let held = ran(host.tenure(&looked).env("TENURE_TTL", "8m").env("TENURE_LOG", "off"));
    assert_eq!((&held.lines()[0]["ttl_ms"], held.err.as_str()), (&480_000.into(), ""), "{held:?}");
}

/// Whatever is wrong with the file ends the command before it does anything, in one line with file, line, key and remedy.
#[test]
fn what_is_wrong_is_told_in_a_line() {
    let host = Host::new();
    let file = host.file().display().to_string();
    for (text, words) in [
        (
            "ttl = \"5s\"\nstroe = \"redis://u:hunter2@h\"",
            &["line 2", "\"stroe\"", "nearest known one is \"store\""][..],
        ),
        ("store = redis://u:hunter2@h", &["line 1", "not TOML"]),
        ("store = \"redsi://u:hunter2@h\"", &["line 1", "redsi"]),
        ("store = \"hunter2\"", &["line 1", "sqlite:PATH"]),
        ("store = \"sqlite:leases.db\"", &["line 1", "another file in each folder"]),
        ("ttl = 15", &["line 1", "ttl", "15s for seconds"]),
        ("\nlog = \"inof\"", &["line 2", "did you mean info?"]),
    ] {
        host.write(text);
        for args in [&["leases"][..], &["run", "--lease", "k", "--", "true"], &["ingest", "--channel", "x", "--check"]]
        {
            let ended = host.run(args);
            assert_eq!(ended.code, Some(64), "{text} {args:?}: {}", ended.err);
            let told = |word: &&str| ended.err.contains(word);
            assert!(words.iter().all(told) && ended.err.contains(&file), "{text} {args:?}: {}", ended.err);
            assert!(!ended.err.contains("hunter2") && ended.err.lines().count() == 1, "{}", ended.err);
        }
        let doctor = host.run(&["doctor", "--json"]);
        let failed: Vec<_> = doctor.lines().into_iter().filter(|line| line["status"] == "fail").collect();
        assert!(
            doctor.code == Some(1) && failed.len() == 1 && failed[0]["remedy"].is_string(),
            "{text}: {}",
            doctor.out
        );
    }
    for (named, words) in [("/no/such/file.toml", "there is no file"), ("/", "is a directory")] {
        let ended = ran(host.tenure(&["leases"]).env("TENURE_CONFIG", named));
        assert!(ended.code == Some(64) && ended.err.contains(words), "{named}: {}", ended.err);
    }
    assert!(host.run(&["stores"]).code == Some(0) && host.run(&["completions", "bash"]).code == Some(0));
}

/// The doctor says which store is used and where it was named: by a flag, the environment, a file, or nobody; and warns of a file with
/// a password that everybody can read.
#[test]
fn the_doctor_says_where_the_store_was_named() {
    let host = Host::new();
    let other = format!("sqlite:{}", host.place.folder.path().join("other.db").display());
    let said = |command: &mut Command| {
        let ran = ran(command);
        let line = ran.lines().into_iter().find(|line| line["check"] == "settings").unwrap();
        line["text"].as_str().unwrap().to_owned()
    };
    let doctor = ["doctor", "--json"];
    let from_file = format!("store {} (from file {}, line 1)", host.place.url, host.file().display());
    assert_eq!(said(&mut host.tenure(&doctor)), from_file);
    let from_environment = format!("store {other} (from environment TENURE_STORE)");
    assert_eq!(said(host.tenure(&doctor).env("TENURE_STORE", &other)), from_environment);
    assert_eq!(said(host.tenure(&doctor).args(["--store", &other])), format!("store {other} (from flag)"));
    let nobody = said(host.tenure(&doctor).env("TENURE_CONFIG", ""));
    assert!(nobody.ends_with("leases.db (from default)"), "{nobody}");

    host.write("bus = \"nats://me:hunter2@127.0.0.1:9?timeout=1s\"");
    let warned = |mode| {
        fs::set_permissions(host.file(), fs::Permissions::from_mode(mode)).unwrap();
        let ran = host.run(&doctor);
        assert!(!ran.out.contains("hunter2"), "{}", ran.out);
        ran.lines().iter().any(|line| line["check"] == "settings" && line["status"] == "warn")
    };
    assert_eq!((warned(0o644), warned(0o640), warned(0o642)), (true, false, true));
}

/// The host's own file is found where nothing else says anything, and one that may not be read is an error: with the default store
/// each host would run the job.
#[test]
fn the_hosts_own_file_is_found() {
    let host = Host::new();
    let of_host = format!("sqlite:{}", host.place.folder.path().join("host.db").display());
    // A root of its own for /etc, which nobody else sees.
    let script = "mount -t tmpfs none /etc && mkdir /etc/tenure && echo \"store = \\\"$0\\\"\" > /etc/tenure/config.toml && \
                  chmod $MODE /etc/tenure/config.toml && exec \"$@\"";
    let command = |mode: &str, args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, &of_host]).args(args).env("MODE", mode);
        command.env_remove("TENURE_CONFIG").env_remove("TENURE_STORE");
        command.env("HOME", "/nonexistent").env_remove("XDG_CONFIG_HOME");
        command
    };
    let binary = env!("CARGO_BIN_EXE_tenure");
    let probe = ran(&mut command("644", &["true"]));
    if probe.code != Some(0) {
        return println!("SKIPPED: the host's own file: nothing can be mounted; run as root: {}", probe.err);
    }
    let doctor = ran(&mut command("644", &[binary, "doctor", "--json"]));
    assert!(doctor.out.contains("(from file /etc/tenure/config.toml, line 1)"), "{}", doctor.out);
    let theirs =
        ran(command("644", &[binary, "doctor", "--json"])
            .env("XDG_CONFIG_HOME", host.place.folder.path().join("config")));
    assert!(theirs.out.contains(&format!("store {} (from file ", host.place.url)), "{}", theirs.out);
    // Whoever that is may run this file, wherever the binary itself is.
    let program = host.place.folder.path().join("tenure");
    fs::copy(binary, &program).unwrap();
    for path in [host.place.folder.path(), &program] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let nobody = ["setpriv", "--reuid=65534", "--clear-groups", program.to_str().unwrap(), "leases"];
    let refused = ran(&mut command("600", &nobody));
    assert!(refused.code == Some(64) && refused.err.contains("may not be read by this user"), "{refused:?}");
}

/// An empty name of the file means none: whatever stands in the usual ones is not even read.
#[test]
fn an_empty_name_means_no_file() {
    let host = Host::new();
    host.write("nonsense");
    let ended = ran(host.tenure(&["leases"]).env("TENURE_CONFIG", ""));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}
