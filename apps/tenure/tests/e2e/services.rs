//! The unit and the crontab of docs/services.md, read from there and played by stand-ins for systemd and cron.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::Signal;
use tenure_test_servers::{find, or_skip};

use crate::fleet::{Fleet, alive, quick, tenure};
use crate::run::service::{Manager, start};
use crate::run::{Run, Scene, until};

const TENURE: &str = "/usr/local/bin/tenure";

/// The first fenced block of the guide that is marked so.
fn block(mark: &str) -> String {
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/services.md")).unwrap();
    let (_, rest) = guide.split_once(&format!("\n```{mark}\n")).unwrap();
    rest.split_once("\n```").unwrap().0.to_owned()
}

/// A unit as systemd reads it.
struct Unit(String);

impl Unit {
    fn value(&self, key: &str) -> &str {
        let of_key = |line: &'_ &str| line.split_once('=').is_some_and(|(name, _)| name == key);
        let lines: Vec<&str> = self.0.lines().filter(of_key).collect();
        assert_eq!(lines.len(), 1, "{key}: {lines:?}");
        lines[0].split_once('=').unwrap().1
    }

    fn seconds(&self, key: &str) -> u64 {
        self.value(key).strip_suffix('s').unwrap().parse().unwrap()
    }

    fn flag_seconds(&self, flag: &str) -> u64 {
        let mut words = self.value("ExecStart").split(' ').skip_while(|word| *word != flag);
        words.nth(1).unwrap().strip_suffix('s').unwrap().parse().unwrap()
    }

    /// What it starts, with this store and this program in place of those that it names.
    fn command(&self, scene: &Scene, program: &str) -> Command {
        assert_eq!(self.value("Environment"), "TENURE_STORE=redis://db.internal");
        let mut words = self.value("ExecStart").split(' ');
        assert_eq!(words.next(), Some(TENURE));
        let mut command = tenure();
        command.env("TENURE_STORE", scene.store()).env("TMPDIR", scene.folder.path());
        command.args(words.map(|word| if word == "/usr/local/bin/bot" { program } else { word }));
        command
    }
}

/// One host: its systemd, and the service.
struct Host {
    manager: Manager,
    service: Run,
}

impl Host {
    fn new(scene: &Scene, unit: &Unit, name: &str) -> Host {
        // A program that speaks the protocol: another `tenure run`, in a lease of this host's own.
        let program = scene.file(&format!("bot-{name}"));
        let speaks = format!(
            "#!/bin/sh\nexec {} run --lease {name} --sdnotify tenure -- sleep 600\n",
            env!("CARGO_BIN_EXE_tenure")
        );
        std::fs::write(&program, speaks).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let manager = Manager::named(scene, &format!("notify-{name}"));
        assert!(unit.seconds("WatchdogSec") > 0);
        // Shorter than in the unit, as nobody waits here for so long.
        let variables = [("NOTIFY_SOCKET", &*manager.name), ("WATCHDOG_USEC", "500000")];
        let service = start(scene, &unit.command(scene, program.to_str().unwrap()), &variables, None);
        Host { manager, service }
    }

    fn pid(&self) -> i32 {
        self.service.pid()
    }

    /// The processes of the unit's control group: the main one and all that descend from it.
    fn processes(&self) -> Vec<i32> {
        let numbers = std::fs::read_dir("/proc").unwrap().flatten();
        let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let parents: Vec<(i32, i32)> = numbers.filter_map(|pid| Some((pid, parent_of(pid)?))).collect();
        let mut all = vec![self.pid()];
        let mut place = 0;
        while let Some(parent) = all.get(place).copied() {
            all.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| pid));
            place += 1;
        }
        all
    }

    /// Signs of life keep coming.
    fn is_alive(&mut self) {
        self.manager.receive();
        self.manager.lines.clear();
        until("signs of life", || self.manager.count("WATCHDOG=1") > 3);
    }

    /// What systemd does at `systemctl stop`, or when no sign of life came: with `KillMode=mixed` the signal goes to the main process
    /// alone, and SIGKILL to whatever is left when `TimeoutStopSec=` is over.
    fn stop(&mut self, unit: &Unit, signal: Signal) -> ExitStatus {
        assert_eq!(unit.value("KillMode"), "mixed");
        let processes = self.processes();
        assert!(processes.len() >= 3, "{processes:?}");
        self.service.signal(signal);
        let status = self.service.end();
        assert_eq!(processes.iter().filter(|pid| alive(**pid)).count(), 0, "{processes:?}");
        assert_eq!(self.manager.sender_of("STOPPING=1"), self.pid());
        status
    }
}

fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// The unit starts on two hosts: both are active, one leads, and its program says that it is ready. A stop hands the lease over, and so does
/// a program that hangs; each time nothing is left, and what is left to do fits into the time that the unit gives.
#[test]
fn the_unit_plays() {
    let unit = Unit(block("ini"));
    assert_eq!((unit.value("Type"), unit.value("NotifyAccess")), ("notify", "all"));
    assert!(unit.seconds("TimeoutStopSec") > unit.flag_seconds("--stop-timeout") + 5);
    assert_eq!(unit.value("Restart"), "always");
    // Five starts in ten seconds are the most that systemd does by default.
    assert!(unit.seconds("RestartSec") > 2);
    let hopeless: Vec<&str> = unit.value("RestartPreventExitStatus").split(' ').collect();
    let scene = Scene::new();
    let mut wrong = unit.command(&scene, "/no/such/program");
    let ended = wrong.stderr(Stdio::null()).status().unwrap().code().unwrap();
    assert!(hopeless.contains(&ended.to_string().as_str()), "{ended}");
    let mut first = Host::new(&scene, &unit, "first");
    first.manager.sender_of("STATUS=leader: holds bot ");
    assert_eq!(first.manager.sender_of("READY=1"), first.pid());
    until("the program's own word", || first.manager.count("READY=1") == 2);
    let mut second = Host::new(&scene, &unit, "second");
    assert_eq!(second.manager.sender_of("READY=1"), second.pid());
    second.manager.sender_of("STATUS=standby: waiting for bot, held by ");
    first.is_alive();
    second.is_alive();
    let status = first.stop(&unit, Signal::TERM);
    // systemd takes that for a success.
    assert_eq!(status.signal(), Some(Signal::TERM.as_raw()), "{status}");
    second.manager.sender_of("STATUS=leader: holds bot ");
    until("the program's own word", || second.manager.count("READY=1") == 1);
    // A program that hangs gives no signs of life any more.
    assert_eq!(unit.value("WatchdogSignal"), "SIGTERM");
    let mut third = Host::new(&scene, &unit, "third");
    second.stop(&unit, Signal::TERM);
    third.manager.sender_of("STATUS=leader: holds bot ");
}

/// systemd has nothing to say against the unit.
#[test]
fn systemd_reads_the_unit() {
    let missing = "install the Debian package systemd";
    let Some(systemd) = or_skip("unit", false, find("systemd-analyze", missing)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bot.service");
    // Programs that are here in place of those that are not.
    let unit = block("ini").replace(TENURE, env!("CARGO_BIN_EXE_tenure")).replace("/usr/local/bin/bot", "/bin/true");
    std::fs::write(&file, unit).unwrap();
    let output =
        Command::new(systemd).args(["verify", "--man=no", "--recursive-errors=no"]).arg(&file).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !errors.contains("bot.service"), "{errors}");
}

/// Several hosts run the crontab in the same minute, and one that is late: the job runs once, and each of the others is told by whom.
#[test]
fn the_crontab_plays() {
    let crontab = block("crontab");
    let scene = Scene::new();
    let mut variables = Vec::new();
    let mut jobs = Vec::new();
    for line in crontab.lines().filter(|line| !line.is_empty()) {
        match line.split_once('=').filter(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_')) {
            Some(variable) => variables.push(variable),
            None => jobs.push(line),
        }
    }
    assert!(variables.contains(&("TENURE_STORE", "redis://db.internal")), "{variables:?}");
    let [job] = jobs[..] else { panic!("{jobs:?}") };
    let mut words = job.split_whitespace();
    let when: Vec<&str> = words.by_ref().take(5).collect();
    assert!(when.iter().all(|word| *word == "*" || word.parse::<u8>().is_ok()), "{when:?}");
    assert_eq!(words.next(), Some("root"));
    let line = words.collect::<Vec<_>>().join(" ");
    let line = line.replace(TENURE, env!("CARGO_BIN_EXE_tenure")).replace("/usr/local/bin/backup", "./backup");
    assert!(!line.contains('%'), "cron ends a line there: {line}");
    let program = scene.file("backup");
    std::fs::write(&program, "#!/bin/sh\necho \"$TENURE_TERM\" >> ran\n").unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let host = |number: usize| {
        // As cron does it: a shell, and of the environment hardly more than the crontab's own.
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &line]).env_clear().current_dir(scene.folder.path()).stdin(Stdio::null());
        shell
            .envs(variables.iter().copied())
            .env("TENURE_STORE", scene.store())
            .env_remove("TENURE_REDIS_PASSWORD_FILE");
        shell.env("HOME", scene.file(&format!("home-{number}"))).env("TMPDIR", scene.folder.path());
        scene.start(&mut shell)
    };
    let hosts: Vec<Run> = (0..3).map(host).collect();
    let mut ends: Vec<(Option<i32>, String)> =
        hosts.into_iter().map(|mut host| (host.end().code(), host.errors())).collect();
    let mut late = host(3);
    ends.push((late.end().code(), late.errors()));
    ends.sort();
    assert_eq!(
        ends.iter().map(|(code, _)| *code).collect::<Vec<_>>(),
        [Some(0), Some(76), Some(76), Some(76)],
        "{ends:?}"
    );
    assert!(ends[1..].iter().all(|(_, errors)| errors.contains("cron/backup is held by ")), "{ends:?}");
    assert_eq!(std::fs::read_to_string(scene.file("ran")).unwrap().lines().count(), 1);
}

/// `ingest` is ready where its endpoint says so, tells its role, gives signs of life from its worker, and tells its end.
#[tokio::test(flavor = "multi_thread")]
async fn ingest_speaks_the_protocol() {
    let scene = Scene::new();
    let mut manager = Manager::at_a_path(&scene);
    let fleet = Fleet::new(quick(2, 50.0), "15s").await;
    let name = manager.name.clone();
    let mut a = fleet.instance_under("a", &[], &[("NOTIFY_SOCKET", &name), ("WATCHDOG_USEC", "200000")]);
    a.ready().await;
    let worker = a.worker().await;
    assert_eq!(manager.sender_of("READY=1"), worker);
    assert_eq!(manager.sender_of("STATUS=leader"), worker);
    let before = manager.lines.iter().position(|(_, line)| line == "READY=1").unwrap();
    assert!(
        manager.lines[..before].iter().any(|(_, line)| line.starts_with("EXTEND_TIMEOUT_USEC=")),
        "{:?}",
        manager.lines
    );
    manager.lines.clear();
    until("signs of life", || manager.count("WATCHDOG=1") > 3);
    let mut other = Manager::named(&scene, "other");
    let b = fleet.instance_under("b", &[], &[("NOTIFY_SOCKET", &other.name)]);
    b.ready().await;
    other.sender_of("READY=1");
    other.sender_of("STATUS=standby");
    a.signal(Signal::TERM);
    assert!(a.end().await.success(), "{}", a.log());
    assert_eq!(manager.sender_of("STOPPING=1"), worker);
    other.sender_of("STATUS=leader");
}
