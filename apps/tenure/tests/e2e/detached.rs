//! Detached leases: `tenure lease acquire`, `renew`, `status`, `release`, and what a file of theirs promises.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tenure_test_servers::{Redis, RedisOptions, RedisPrograms, or_skip};

use crate::fleet::tenure;
use crate::operators::{Ran, ran};
use crate::run::until;

/// The key of the tests.
const KEY: &str = "tests/detached";

/// A store, and a folder for files.
struct Detached {
    folder: TempDir,
    store: String,
    _redis: Option<Redis>,
}

impl Detached {
    fn sqlite() -> Detached {
        let folder = tempfile::tempdir().unwrap();
        let store = format!("sqlite:{}", folder.path().join("leases.db").display());
        Detached { folder, store, _redis: None }
    }

    /// On SQLite, and on Redis where there is one.
    fn everywhere(suite: &str) -> Vec<Detached> {
        let redis = or_skip(suite, true, RedisPrograms::find()).map(|programs| {
            let redis = programs.start(RedisOptions { durable: true, ..RedisOptions::default() }).unwrap();
            let store = format!("{}?durable=true", redis.url());
            Detached { folder: tempfile::tempdir().unwrap(), store, _redis: Some(redis) }
        });
        [Detached::sqlite()].into_iter().chain(redis).collect()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = tenure();
        command.args(args).env("TENURE_STORE", &self.store).current_dir(self.folder.path());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        ran(&mut self.command(args))
    }

    /// Acquires the key into a file.
    fn acquire(&self, file: &str, ttl: &str) -> Value {
        let ran = self.run(&["lease", "acquire", KEY, "--ttl", ttl, "--wait", "20s", "--out", file]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.lines().remove(0)
    }

    /// The code, and what is on standard output, of a command that gets a line on standard input.
    fn fed(&self, args: &[&str], line: &str) -> Ran {
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn state(&self, file: &str) -> (Option<i32>, Value) {
        let ran = self.run(&["lease", "status", file]);
        (ran.code, ran.lines().first().map_or(Value::Null, |line| line["state"].clone()))
    }
}

fn boottime_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

/// From the claim to the release: the line has the members that scripts read, its deadline counts from before the request and
/// less the margin, it is renewed from the file and from standard input, and the term stays.
#[test]
fn a_lease_lives_without_a_process() {
    for place in Detached::everywhere("detached leases") {
        let ran = place.run(&["lease", "acquire", KEY, "--wait", "20s", "--holder", "me", "--note", "n", "--out", "f"]);
        let after = boottime_ns();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let line = &ran.lines()[0];
        assert_eq!((&line["key"], &line["holder"], &line["ttl_ms"]), (&KEY.into(), &"me".into(), &15_000.into()));
        assert_eq!(line["nonce"].as_str().unwrap().len(), 32);
        let (deadline, remaining) =
            (line["deadline_boottime_ns"].as_u64().unwrap(), line["remaining_ms"].as_u64().unwrap());
        // 15 s less a margin of 2 s.
        assert!(deadline <= after + 13_000_000_000 && remaining <= 13_000, "{line}");
        let file = fs::read_to_string(place.file("f")).unwrap();
        let written: Value = serde_json::from_str(&file).unwrap();
        assert_eq!(
            (&written["nonce"], &written["deadline_boottime_ns"]),
            (&line["nonce"], &line["deadline_boottime_ns"])
        );
        assert_eq!(fs::metadata(place.file("f")).unwrap().permissions().mode() & 0o777, 0o600);

        let (renewed, fed) = (place.run(&["lease", "renew", "f"]), place.fed(&["lease", "renew", "-"], &file));
        for ran in [&renewed, &fed] {
            assert_eq!(ran.code, Some(0), "{ran:?}");
            let anew = &ran.lines()[0];
            assert_eq!((&anew["term"], &anew["nonce"]), (&line["term"], &line["nonce"]));
            assert_eq!(anew["resign_requested"], false);
            assert!(anew["deadline_boottime_ns"].as_u64().unwrap() > deadline);
        }
        let listed = place.run(&["leases", KEY, "--json"]).lines().remove(0);
        assert_eq!((&listed["note"], &listed["holder"], &listed["term"]), (&"n".into(), &"me".into(), &line["term"]));
        assert_eq!(place.state("f"), (Some(0), "held".into()));
        assert_eq!(place.run(&["check", "--status-file", "f"]).code, Some(0));
        assert_eq!(place.fed(&["lease", "status"], &file).code, Some(0));

        let rival = place.run(&["lease", "acquire", "--lease", KEY, "--no-wait", "--out", "f"]);
        assert!(rival.code == Some(76) && rival.err.contains("is held by me (term "), "{rival:?}");
        assert_eq!(place.state("f"), (Some(0), "held".into()), "a rival with the same file leaves it as it is");

        let asked = place.command(&["resign", "--lease", KEY, "--timeout", "100ms"]).output().unwrap();
        assert_eq!(asked.status.code(), Some(1));
        assert_eq!(place.run(&["lease", "renew", "f"]).lines()[0]["resign_requested"], true);

        let released = place.run(&["lease", "release", "f"]);
        assert_eq!((released.code, released.lines()[0]["released"].clone()), (Some(0), true.into()), "{released:?}");
        assert_eq!(place.run(&["lease", "release", "f"]).lines()[0]["released"], false);
        assert_eq!(place.run(&["lease", "renew", "f"]).code, Some(75));
        assert_eq!(place.state("f"), (Some(75), "lost".into()));
        assert_eq!(place.run(&["check", "--status-file", "f"]).code, Some(1));
        let next = place.acquire("f", "2s");
        assert!(next["term"].as_u64() > line["term"].as_u64());
        assert_eq!(place.run(&["lease", "renew", "f", "--term", &line["term"].to_string()]).code, Some(75));
        assert_eq!(place.run(&["lease", "renew", "f", "--term", &next["term"].to_string()]).code, Some(0));
    }
}

/// What nobody renews runs out: then it is expired, and a renewal is refused for good although nobody took it. What somebody
/// else has is lost, and a loss that was told leaves a file that reads as over.
#[test]
fn a_lease_that_has_run_out_is_not_renewed() {
    for place in Detached::everywhere("detached leases") {
        place.acquire("one", "1s");
        until("it runs out", || place.run(&["who", KEY]).code == Some(1));
        assert_eq!(place.state("one"), (Some(75), "expired".into()));
        let late = place.run(&["lease", "renew", "one"]);
        assert!(late.code == Some(75) && late.out.is_empty() && late.err.contains("held by nobody now"), "{late:?}");
        place.acquire("two", "10m");
        assert_eq!(place.state("one"), (Some(75), "lost".into()));
        assert_eq!(place.run(&["lease", "renew", "one"]).code, Some(75));
        assert_eq!(place.run(&["lease", "release", "one"]).code, Some(75));
        assert_eq!(place.state("two"), (Some(0), "held".into()));
        let removed = place.run(&["resign", "--lease", KEY, "--force"]);
        assert_eq!(removed.code, Some(0), "{removed:?}");
        assert_eq!(place.state("two"), (Some(75), "lost".into()));
        assert_eq!(place.run(&["check", "--status-file", "two"]).code, Some(0), "nobody has told the file yet");
        assert_eq!(place.run(&["lease", "renew", "two"]).code, Some(75));
        assert_eq!(place.run(&["check", "--status-file", "two"]).code, Some(1));
    }
}

/// A file from before a reboot, or of another time namespace, is not believed whatever its deadline says; the store is asked, and
/// a renewal writes a deadline of this clock.
#[test]
fn a_file_of_another_boot_does_not_read_as_held() {
    let place = Detached::sqlite();
    place.acquire("f", "10m");
    let line = fs::read_to_string(place.file("f")).unwrap();
    let mut odd: Value = serde_json::from_str(&line).unwrap();
    odd["deadline_boottime_ns"] = (boottime_ns() + 3_600_000_000_000_000).into();
    for (member, value) in [("boot_id", Value::from("another")), ("boot_id", Value::Null), ("time_namespace", 1.into())]
    {
        let mut of_another = odd.clone();
        of_another[member] = value;
        fs::write(place.file("f"), of_another.to_string()).unwrap();
        let told = place.run(&["check", "--status-file", "f"]);
        assert!(told.code == Some(1) && told.err.contains("another boot or time namespace"), "{of_another}: {told:?}");
        let told = place.run(&["lease", "status", "f"]).lines().remove(0);
        assert_eq!(told["state"], "held");
        assert!(told["remaining_ms"].as_u64().unwrap() <= 600_000, "{told}");
        assert_eq!(place.run(&["lease", "renew", "f"]).code, Some(0));
        assert_eq!(place.run(&["check", "--status-file", "f"]).code, Some(0));
    }
}

/// Whoever waits gets the lease when it is released, and is told who has it meanwhile; whoever waits in vain gets 76; a signal ends
/// the wait and leaves no lease.
#[test]
fn waiting_ends_with_the_lease_or_in_time() {
    for place in Detached::everywhere("detached leases") {
        let first = place.acquire("one", "10m");
        let waits = |wait: &str| {
            let mut command = place.command(&["lease", "acquire", KEY, "--wait", wait, "--holder", "two"]);
            command.stdout(Stdio::piped()).stderr(fs::File::create(place.file("err")).unwrap()).spawn().unwrap()
        };
        let is_told = || fs::read_to_string(place.file("err")).unwrap().contains("waiting for tests/detached, held by");
        let in_vain = waits("300ms").wait_with_output().unwrap();
        assert_eq!((in_vain.status.code(), in_vain.stdout.len()), (Some(76), 0));
        assert!(fs::read_to_string(place.file("err")).unwrap().contains("gave up after 300ms"));
        let mut asked = waits("1h");
        until("the wait is told", is_told);
        kill_process(Pid::from_child(&asked), Signal::TERM).unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&asked.wait().unwrap()), Some(15));
        let next = waits("1h");
        until("the wait is told", is_told);
        assert_eq!(place.run(&["lease", "release", "one"]).code, Some(0));
        let output = next.wait_with_output().unwrap();
        let line: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(line["term"].as_u64() > first["term"].as_u64() && line["holder"] == "two", "{line}");
    }
}

/// A line that nobody reads, or that cannot be written, is nobody's lease: the exit code says so, and the key is free.
#[test]
fn a_lease_whose_line_is_lost_is_released() {
    let place = Detached::sqlite();
    let free = || place.run(&["who", KEY]).code == Some(1);
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let unread = place.command(&["lease", "acquire", KEY, "--ttl", "10m"]).stdout(full).status().unwrap();
    assert_eq!(unread.code(), Some(74));
    assert!(free(), "left held");
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    drop(reader);
    let unread = place.command(&["lease", "acquire", KEY, "--ttl", "10m"]).stdout(writer).status().unwrap();
    assert_eq!(unread.code(), Some(74));
    assert!(free(), "left held");
    // Where the line cannot be written is known before the claim.
    fs::write(place.file("other"), "precious").unwrap();
    for (file, said) in
        [("no/file", "no/file"), ("/dev/null", "no regular file"), ("other", "not the line"), (".", "no regular file")]
    {
        let ran = place.run(&["lease", "acquire", KEY, "--out", file]);
        assert_eq!(ran.code, Some(64), "{file}: {ran:?}");
        assert!(ran.err.contains(said) || file == "no/file", "{file}: {ran:?}");
    }
    assert!(free());
    assert_eq!(fs::read_to_string(place.file("other")).unwrap(), "precious");
    // A lease whose time is not over is not lost for another key's.
    place.acquire("f", "10m");
    let other = place.run(&["lease", "acquire", "another/key", "--out", "f"]);
    assert!(other.code == Some(64) && other.err.contains("has the lease of tests/detached"), "{other:?}");
}

/// Wrong calls are told with their mend, and repeat nothing of what they were given.
#[test]
fn wrong_calls_are_told() {
    let place = Detached::sqlite();
    place.acquire("f", "10m");
    fs::write(place.file("other"), "hunter2").unwrap();
    fs::write(place.file("empty"), "").unwrap();
    for verb in ["renew", "status", "release"] {
        for (file, said) in [
            ("missing", "tenure lease acquire KEY --out missing"),
            ("other", "not the line"),
            ("empty", "not the line"),
        ] {
            let ran = place.run(&["lease", verb, file]);
            assert!(ran.code == Some(64) && ran.err.contains(said) && !ran.err.contains("hunter2"), "{verb}: {ran:?}");
        }
        assert_eq!(place.run(&["lease", verb]).code, Some(64));
        let away = ran(place.command(&["lease", verb, "f"]).env("TENURE_STORE", "sqlite:mistyped.db"));
        assert!(away.code == Some(69) && !place.file("mistyped.db").exists(), "{away:?}");
    }
    assert_eq!(place.state("f"), (Some(0), "held".into()), "a mistyped store changes nothing");
    assert!(place.run(&["lease", "acquire", "k", "--store", "memory:"]).err.contains("ends with this process"));
    assert_eq!(place.run(&["lease", "acquire", "k", "--ttl", "1ms"]).code, Some(64));
    assert_eq!(place.run(&["lease", "acquire"]).code, Some(64));
}

/// A store that hangs: a renewal fails while there is time left to stop, and one that is called late ends by the deadline.
#[test]
fn a_renewal_that_is_not_answered_leaves_time_to_stop() {
    let Some(programs) = or_skip("detached leases", true, RedisPrograms::find()) else { return };
    let redis = programs.start(RedisOptions { durable: true, ..RedisOptions::default() }).unwrap();
    let store = format!("{}?durable=true", redis.url());
    let place = Detached { folder: tempfile::tempdir().unwrap(), store, _redis: None };
    let mut line = place.acquire("f", "12s");
    redis.stop();
    assert_eq!(place.run(&["lease", "renew", "f"]).code, Some(69));
    let deadline = line["deadline_boottime_ns"].as_u64().unwrap();
    // A third of the ttl, less what an end of a process may take.
    assert!(boottime_ns() < deadline - 3_000_000_000, "the deadline is near or over");
    let deadline = boottime_ns() + 1_500_000_000;
    line["deadline_boottime_ns"] = deadline.into();
    fs::write(place.file("late"), line.to_string()).unwrap();
    let late = place.run(&["lease", "renew", "late"]);
    assert!(late.code == Some(69) && boottime_ns() < deadline + 500_000_000, "{late:?}");
    redis.resume();
}

/// A store that is away: one claim says so at once; a renewal is tried while there is time, then fails, and the file stays as it is
/// until the store is back.
#[test]
fn a_store_that_is_away_is_waited_for_as_long_as_there_is_time() {
    let Some(programs) = or_skip("detached leases", true, RedisPrograms::find()) else { return };
    let mut redis = programs.start(RedisOptions { durable: true, ..RedisOptions::default() }).unwrap();
    let store = format!("{}?durable=true&timeout_ms=300", redis.url());
    let place = Detached { folder: tempfile::tempdir().unwrap(), store, _redis: None };
    place.acquire("f", "20s");
    redis.kill();
    assert_eq!(place.run(&["lease", "acquire", "another"]).code, Some(69));
    let mut renewal = place.command(&["lease", "renew", "f"]).stdout(Stdio::piped()).spawn().unwrap();
    // The renewal has certainly failed once by now, and goes on.
    let mut waits = place.command(&["lease", "acquire", "another", "--wait", "20s"]);
    let mut waits = waits.stderr(fs::File::create(place.file("err")).unwrap()).stdout(Stdio::null()).spawn().unwrap();
    until("the wait is told", || fs::read_to_string(place.file("err")).unwrap().contains("waiting for it"));
    assert!(renewal.try_wait().unwrap().is_none(), "gave up although there was time");
    redis.start_again().unwrap();
    assert_eq!(renewal.wait().unwrap().code(), Some(0));
    assert_eq!(waits.wait().unwrap().code(), Some(0));
    redis.kill();
    let before = fs::read_to_string(place.file("f")).unwrap();
    let mut line: Value = serde_json::from_str(&before).unwrap();
    line["deadline_boottime_ns"] = (boottime_ns() + 2_000_000_000).into();
    fs::write(place.file("g"), line.to_string()).unwrap();
    let late = place.run(&["lease", "renew", "g"]);
    assert!(late.code == Some(69) && late.err.contains("not renewed, and the lease lasts for"), "{late:?}");
    assert_eq!(fs::read_to_string(place.file("g")).unwrap(), line.to_string());
    assert_eq!(place.run(&["lease", "status", "g"]).code, Some(69));
}
