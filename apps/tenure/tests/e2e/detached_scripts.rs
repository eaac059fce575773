//! The scripts of docs/detached.md, as they are printed there, killed before every one of their lines while a rival runs the same
//! script: no two believe in the lease at a time, the rival gets it, and `tenure lease status` tells what the store says.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tenure_test_servers::{RedisOptions, RedisPrograms, find, or_skip};

use crate::fleet::tenure;
use crate::operators::{Ran, ran};
use crate::run::until;

/// The lease in the scripts, and its ttl there and here.
const KEY: &str = "reports/nightly";
const TTL: (&str, &str) = ("15s", "5s");
/// How many scenes are played at a time.
const AT_A_TIME: usize = 4;

/// Keeps each line that the real command prints.
const KEEPS_LINES: &str = r#"#!/bin/sh
out=$(mktemp "$LINES/out.XXXXXX")
"$TENURE" "$@" > "$out"
code=$?
grep -q '"nonce"' "$out" && cp "$out" "$LINES/last.$$" && mv "$LINES/last.$$" "$LINES/last"
cat "$out"
rm "$out"
exit $code
"#;

/// Writes down that it acts, at the beginning and at the end, unless a higher term has been there before: a sink that fences.
const STEP: &str = r#"#!/bin/bash
exec 9>> "$SINK.lock"
act() {
    flock 9
    local seen=0
    [ ! -s "$SINK" ] || read -r seen < "$SINK"
    if (( $1 < seen )); then echo "$1" >> "$SINK.refused"; exit 1; fi
    echo "$1" > "$SINK"
    read -r up _ < /proc/uptime
    echo "${up/./} $1" >> "$WITNESS"
    flock -u 9
}
act "$1"
sleep 0.02
act "$1"
"#;

/// A language that a script of the guide is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Bash,
    Python,
}

impl Language {
    /// The script as the guide prints it, with the ttl of a test.
    fn script(self) -> String {
        let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/detached.md");
        let guide = fs::read_to_string(guide).unwrap();
        let fence = if self == Language::Bash { "```bash\n" } else { "```python\n" };
        let (_, rest) = guide.split_once(fence).unwrap();
        let (script, _) = rest.split_once("```").unwrap();
        assert!(script.lines().count() <= 35, "not a short script");
        for documented in [TTL.0, KEY] {
            assert!(script.contains(documented), "{documented}");
        }
        script.replace(TTL.0, TTL.1)
    }
}

/// One key, one script, and those who run it.
struct Scene {
    folder: TempDir,
    store: String,
    language: Language,
}

impl Scene {
    /// On SQLite, or on the server at `redis` under a key of its own.
    fn new(language: Language, redis: Option<&str>, number: usize) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let store = redis.map_or_else(|| format!("sqlite:{}", path("leases.db").display()), str::to_owned);
        let script = language.script().replace(KEY, &format!("{KEY}-{number}"));
        fs::create_dir(path("bin")).unwrap();
        for (name, text) in [
            ("script", script.as_str()),
            ("step", STEP),
            ("bin/tenure", KEEPS_LINES),
            ("kill_at.bash", include_str!("detached_scripts/kill_at.bash")),
            ("kill_at.py", include_str!("detached_scripts/kill_at.py")),
        ] {
            fs::write(path(name), text).unwrap();
            fs::set_permissions(path(name), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        Scene { folder, store, language }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the script for two parts, to be killed before its line number `kill_at`; 0 is never.
    fn start(&self, who: &str, kill_at: usize) -> Child {
        let lines = self.path(&format!("lines-{who}"));
        fs::create_dir_all(&lines).unwrap();
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = match self.language {
            Language::Bash => Command::new("bash"),
            Language::Python => Command::new("python3"),
        };
        match self.language {
            Language::Bash => command.env("BASH_ENV", self.path("kill_at.bash")),
            Language::Python => command.arg(self.path("kill_at.py")),
        };
        command.arg(self.path("script")).args(["one", "two"]);
        command.current_dir(self.folder.path()).env("PATH", path).env("TENURE", env!("CARGO_BIN_EXE_tenure"));
        command.env("TENURE_STORE", &self.store).env("LINES", &lines).env("TMPDIR", &lines);
        command.env("KILL_AT", kill_at.to_string()).env("COUNT", lines.join("count"));
        command.env("WITNESS", self.path(&format!("witness-{who}"))).env("SINK", self.path("sink"));
        let errors = fs::File::create(lines.join("errors")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).spawn().unwrap()
    }

    fn errors(&self, who: &str) -> String {
        fs::read_to_string(self.path(&format!("lines-{who}/errors"))).unwrap_or_default()
    }

    fn run(&self, args: &[&str]) -> Ran {
        ran(tenure().args(args).env("TENURE_STORE", &self.store))
    }

    /// The last line that a script was given.
    fn last_line(&self, who: &str) -> Option<String> {
        fs::read_to_string(self.path(&format!("lines-{who}/last"))).ok()
    }

    /// Asks for the status of a line, between two looks at who has the key: where both say the same, so must the status.
    fn check_status(&self, line: &str) {
        let file = self.path("asked");
        fs::write(&file, line).unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        let key = line["key"].as_str().unwrap();
        let term = || self.run(&["leases", key, "--json"]).lines().first().map(|record| record["term"].clone());
        let before = term();
        let mut status = self.run(&["lease", "status", file.to_str().unwrap()]);
        // A store that many ask at once may be too busy to answer one of them.
        for _ in 0..10 {
            if status.code != Some(69) {
                break;
            }
            status = self.run(&["lease", "status", file.to_str().unwrap()]);
        }
        let after = term();
        let state = status.lines().first().unwrap_or_else(|| panic!("{status:?}"))["state"].clone();
        assert_eq!(status.code, Some(if state == "held" { 0 } else { 75 }), "{status:?}");
        let is_own = |seen: &Option<Value>| seen.as_ref() == Some(&line["term"]);
        match (is_own(&before), is_own(&after)) {
            // Within the margin the store has the lease, and nobody may act under it.
            (true, true) => assert!(state == "held" || state == "expired", "{status:?}"),
            (false, false) => assert!(state == "lost" || state == "expired", "{status:?}"),
            _ => {}
        }
    }

    /// Every moment at which somebody believed in the lease, or acted under it, by term. The spans of two terms have nothing in common.
    fn check_beliefs(&self) {
        let mut spans = BTreeMap::<u64, (u64, u64)>::new();
        let mut believers = BTreeMap::<u64, String>::new();
        for entry in fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap()) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with("witness-") {
                continue;
            }
            for line in fs::read_to_string(entry.path()).unwrap().lines() {
                let (at, term) = line.split_once(' ').unwrap();
                let (at, term): (u64, u64) = (at.parse().unwrap(), term.parse().unwrap());
                let span = spans.entry(term).or_insert((at, at));
                *span = (span.0.min(at), span.1.max(at));
                let one = believers.entry(term).or_insert_with(|| name.clone());
                assert_eq!(*one, name, "two believe in term {term}");
            }
        }
        assert!(!spans.is_empty(), "nobody has ever held the lease");
        let spans: Vec<_> = spans.into_iter().collect();
        for pair in spans.windows(2) {
            let ((older, (_, until)), (newer, (from, _))) = (pair[0], pair[1]);
            assert!(
                until <= from,
                "{older} was believed in until {until}, {newer} from {from}, in hundredths of a second"
            );
        }
        assert!(!self.path("sink.refused").exists(), "a step came too late");
    }
}

/// Plays one kill: somebody is killed before that line while a rival waits, and a third comes later. Answers whether it came so far: on
/// a machine that is busy for seconds a script may lose its lease before.
fn kill_before_line(language: Language, redis: Option<&str>, line: usize) -> bool {
    let scene = Scene::new(language, redis, line);
    let mut victim = scene.start("victim", line);
    let mut rival = scene.start("rival", 0);
    let ended = victim.wait().unwrap();
    let is_killed = ended.signal() == Some(9);
    assert!(is_killed || !ended.success(), "line {line}: {ended:?}");
    if let Some(line) = scene.last_line("victim") {
        scene.check_status(&line);
    }
    let mut third = scene.start("third", 0);
    for (who, child) in [("rival", &mut rival), ("third", &mut third)] {
        until("the others get the lease", || child.try_wait().unwrap().is_some());
        let ended = child.wait().unwrap();
        assert!(ended.success(), "line {line}: {who}: {ended:?} {}", scene.errors(who));
    }
    if let Some(line) = scene.last_line("victim") {
        scene.check_status(&line);
    }
    scene.check_beliefs();
    is_killed
}

/// Plays a kill before each line that the script comes by, every `step`th of them.
fn kill_before_every_line(language: Language, redis: Option<&str>, step: usize) {
    let scene = Scene::new(language, redis, 0);
    let whole = scene.start("whole", 0).wait().unwrap();
    assert!(whole.success(), "{whole:?} {}", scene.errors("whole"));
    scene.check_beliefs();
    let count: usize = fs::read_to_string(scene.path("lines-whole/count")).unwrap().trim().parse().unwrap();
    assert!(count > 15, "{count} lines are not the whole script");
    let (next, killed) = (AtomicUsize::new(1), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let line = next.fetch_add(step, Ordering::Relaxed);
                    if line > count {
                        return;
                    }
                    let is_killed = kill_before_line(language, redis, line);
                    killed.fetch_add(usize::from(is_killed), Ordering::Relaxed);
                }
            });
        }
    });
    let (killed, lines) = (killed.into_inner(), count.div_ceil(step));
    assert!(killed * 10 >= lines * 9, "only {killed} kills at {lines} lines");
    println!("killed at {killed} of {lines} lines");
}

/// What the scripts need besides what every test has.
fn tools() -> bool {
    let missing = |tool| {
        or_skip("detached scripts", true, find(tool, "install the Debian packages bash, python3 and util-linux"))
    };
    ["bash", "python3", "flock"].into_iter().all(|tool| missing(tool).is_some())
}

/// The script in bash, over SQLite.
#[test]
fn the_bash_script_is_killed_at_every_line() {
    if tools() {
        kill_before_every_line(Language::Bash, None, 1);
    }
}

/// The script in Python, over SQLite.
#[test]
fn the_python_script_is_killed_at_every_line() {
    if tools() {
        kill_before_every_line(Language::Python, None, 1);
    }
}

/// Both over Redis, at every third line.
#[test]
fn the_scripts_are_killed_over_redis() {
    let Some(programs) = or_skip("detached scripts", true, RedisPrograms::find()) else { return };
    if tools() {
        let server = programs.start(RedisOptions::default()).unwrap();
        kill_before_every_line(Language::Bash, Some(&server.url()), 3);
        server.cli(["flushall"]);
        kill_before_every_line(Language::Python, Some(&server.url()), 3);
    }
}

/// A script that is stopped for longer than its lease, between its look and its step, comes back and acts: nobody ends it. The sink
/// refuses what it writes, for the next holder has been there with a higher term; with its next line it learns that it has lost.
#[test]
fn a_script_that_was_stopped_is_refused_at_the_sink() {
    if !tools() {
        return;
    }
    let scene = Scene::new(Language::Bash, None, 0);
    // Stops itself where a pause hurts most: after the look, before the step.
    let script = fs::read_to_string(scene.path("script")).unwrap();
    let step = "timeout --kill-after";
    assert!(script.contains(step));
    fs::write(scene.path("script"), script.replace(step, &format!("[ ! -e pause ] || kill -STOP $$\n    {step}")))
        .unwrap();
    fs::write(scene.path("pause"), "").unwrap();
    let mut stopped = scene.start("stopped", 0);
    let state = || fs::read_to_string(format!("/proc/{}/stat", stopped.id())).unwrap();
    until("it stops", || state().rsplit(')').next().unwrap().trim().starts_with('T'));
    fs::remove_file(scene.path("pause")).unwrap();
    let next = scene.start("next", 0).wait().unwrap();
    assert!(next.success(), "{}", scene.errors("next"));
    kill_process(Pid::from_child(&stopped), Signal::CONT).unwrap();
    assert_eq!(stopped.wait().unwrap().code(), Some(1), "{}", scene.errors("stopped"));
    let refused = fs::read_to_string(scene.path("sink.refused")).unwrap();
    let stale: Value = serde_json::from_str(&scene.last_line("stopped").unwrap()).unwrap();
    assert_eq!(refused.trim(), stale["term"].to_string());
    scene.check_status(&scene.last_line("stopped").unwrap());
}
