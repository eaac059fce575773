//! Every example as its reader runs it: real processes, several of each, one of them killed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod firestore;
mod kubernetes;
mod terminal;

use std::path::Path;

use rustix::process::Signal;
use tenure_test_servers::{
    EtcdOptions, EtcdPrograms, PostgresOptions, PostgresPrograms, RedisOptions, RedisPrograms, or_skip,
};
use terminal::{Terminal, until};

const LEADER_ELECTION: &str = env!("CARGO_BIN_EXE_leader-election");
const CALLBACKS: &str = env!("CARGO_BIN_EXE_callbacks");
const FENCED_WRITER: &str = env!("CARGO_BIN_EXE_fenced-writer");
const SERVICE: &str = env!("CARGO_BIN_EXE_service");

fn store(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("leases.db").display())
}

/// The sample shows its four demos; one of three instances leads; a killed leader is followed within its lease, one that is
/// asked to end hands over before that.
#[test]
fn the_sample_elects_one_leader_and_hands_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let sample = |name: &str, lease: &str| {
        let args = ["--store", &store, "--instance-id", name, "--lease-duration-seconds", lease];
        Terminal::open(LEADER_ELECTION, &args, &["--checks", "2", "--check-interval-seconds", "0.1"])
    };
    let mut anna = sample("anna", "3");
    anna.wait_for("Leading: batch 2");
    let output = anna.output();
    for expected in [
        "=== Demo 1: listen to an election ===",
        "Candidate:      anna",
        "Lock key:       myapp:leader",
        "Lease duration: 3s",
        "Renew interval: 1s",
        "=== Demo 2: take part ===",
        "*** BecameLeader ***",
        "=== Demo 3: watch the status ===",
        "Status check 2/2:",
        "=== Demo 4: work that only the leader does ===",
    ] {
        assert!(output.contains(expected), "{expected} is missing:\n{output}");
    }
    let (mut bert, mut carl) = (sample("bert", "3"), sample("carl", "3"));
    bert.wait_for("Following: anna leads");
    carl.wait_for("Following: anna leads");
    assert!(!bert.output().contains("*** BecameLeader") && !carl.output().contains("*** BecameLeader"));

    anna.kill();
    until("a leader after the kill", || bert.output().contains("Leading:") || carl.output().contains("Leading:"));
    let (leader, other) =
        if bert.output().contains("Leading:") { (&mut bert, &mut carl) } else { (&mut carl, &mut bert) };
    assert!(!other.output().contains("*** BecameLeader"), "two leaders");

    assert!(leader.end(Signal::TERM).success());
    leader.wait_for("Reason: resigned");
    leader.wait_for("Stopped, and the lease is free.");
    other.wait_for("Leading: batch 1");
    assert!(other.end(Signal::INT).success());
}

/// The sample takes its settings from a file in the shape of appsettings.json, and a flag goes before it.
#[test]
fn the_sample_reads_its_settings() {
    let folder = tempfile::tempdir().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("appsettings.json");
    let store = store(folder.path());
    let args = ["--settings", file.to_str().unwrap(), "--store", &store, "--renew-interval-seconds", "5"];
    let mut sample = Terminal::open(LEADER_ELECTION, &args, &[]);
    sample.wait_for("*** BecameLeader ***");
    let output = sample.output();
    for expected in
        ["Lock key:       myapp:leader", "Lease duration: 30s", "Renew interval: 5s", "acts for 20s at most"]
    {
        assert!(output.contains(expected), "{expected} is missing:\n{output}");
    }
    assert!(sample.end(Signal::TERM).success());
}

/// With the connection string of a Redis the sample elects there; `GET` shows who leads, `TTL` for how long.
#[test]
fn the_sample_elects_in_redis() {
    let Some(programs) = or_skip("examples redis", true, RedisPrograms::find()) else { return };
    // The server of compose.yaml, as far as that is possible without a container.
    let file = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("compose.yaml")).unwrap();
    let command = file.lines().find_map(|line| line.trim().strip_prefix("command: ")).unwrap();
    let command: Vec<String> = serde_json::from_str(command).unwrap();
    let options = RedisOptions { arguments: command[1..].to_vec(), ..RedisOptions::default() };
    let redis = programs.start(options).unwrap();
    assert!(redis.cli(["CONFIG", "GET", "maxmemory-policy"]).contains("noeviction"));
    let address = format!("localhost:{}", redis.port());
    let sample = |name: &str| {
        let args = ["--redis-connection-string", &address, "--instance-id", name, "--lease-duration-seconds", "3"];
        Terminal::open(LEADER_ELECTION, &args, &["--checks", "1", "--check-interval-seconds", "0.1"])
    };
    let mut anna = sample("Instance-12345");
    anna.wait_for("Leading: batch 1");
    assert!(anna.output().contains("Store:          redis"));
    assert!(redis.cli(["GET", "myapp:leader"]).starts_with("Instance-12345 "));
    let left: u64 = redis.cli(["TTL", "myapp:leader"]).trim().parse().unwrap();
    assert!(left <= 3, "{left}");
    let mut bert = sample("Instance-67890");
    bert.wait_for("Following: Instance-12345 leads");
    anna.kill();
    bert.wait_for("Leading: batch 1");
    assert!(bert.end(Signal::INT).success());
    assert_eq!(redis.cli(["EXISTS", "myapp:leader"]).trim(), "0");
}

/// The URL of etcd is all that sample and component need to elect there: one leads, and a killed leader is followed.
#[test]
fn sample_and_component_elect_in_etcd() {
    let Some(programs) = or_skip("examples etcd", true, EtcdPrograms::find()) else { return };
    let mut etcd = programs.start(1, &EtcdOptions::default()).unwrap();
    sample_and_component_elect(&etcd.url(), |holder| {
        let expected = holder.map_or(r#""holder":null"#.to_owned(), |holder| format!(r#""holder":"{holder}""#));
        etcd.nodes()[0].ctl(["get", "tenure/myapp:leader"]).contains(&expected)
    });
}

/// The URL of a PostgreSQL database is all that they need there.
#[test]
fn sample_and_component_elect_in_postgres() {
    let Some(programs) = or_skip("examples postgres", true, PostgresPrograms::find()) else { return };
    let server = programs.start(PostgresOptions::default()).unwrap();
    sample_and_component_elect(&server.url(), |holder| {
        server.psql("select holder from tenure_leases where key = 'myapp:leader'").trim() == holder.unwrap_or("")
    });
}

/// One leads, a killed leader is followed, and the record of the sample's lease is that of `is_held_by`.
fn sample_and_component_elect(url: &str, mut is_held_by: impl FnMut(Option<&str>) -> bool) {
    let sample = |name: &str| {
        let args = ["--store", url, "--instance-id", name, "--lease-duration-seconds", "3"];
        Terminal::open(LEADER_ELECTION, &args, &["--checks", "1", "--check-interval-seconds", "0.1"])
    };
    let mut anna = sample("anna");
    anna.wait_for("Leading: batch 1");
    assert!(is_held_by(Some("anna")));
    let mut bert = sample("bert");
    bert.wait_for("Following: anna leads");
    anna.kill();
    bert.wait_for("Leading: batch 1");
    assert!(bert.end(Signal::TERM).success());
    assert!(is_held_by(None));

    let replica = |name: &str| {
        let args = ["--store", url, "--identity", name, "--lease-duration", "3s"];
        Terminal::open(CALLBACKS, &args, &["--renew-deadline", "2s", "--retry-period", "500ms"])
    };
    let mut one = replica("pod-1");
    one.wait_for("callback: started leading");
    let mut two = replica("pod-2");
    two.wait_for("callback: new leader pod-1");
    one.kill();
    two.wait_for("callback: started leading");
    assert!(two.end(Signal::TERM).success());
}

/// Without a Redis behind the connection string the sample ends, and says how to start one.
#[test]
fn the_sample_says_how_to_start_redis() {
    let folder = tempfile::tempdir().unwrap();
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    let status = std::process::Command::new(LEADER_ELECTION)
        .args(["--redis-connection-string", "127.0.0.1:1"])
        .env_remove("TENURE_STORE")
        .stdout(std::fs::File::create(out).unwrap())
        .stderr(std::fs::File::create(&err).unwrap())
        .status()
        .unwrap();
    let said = std::fs::read_to_string(err).unwrap();
    assert!(!status.success() && said.contains("docker compose -f examples/compose.yaml up"), "{said}");
}

/// A writer that was stopped between its question and its write is refused, and the file's terms never go back.
#[test]
fn a_stale_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (store, file) = (store(folder.path()), folder.path().join("ledger.txt"));
    let writer = |name: &str| {
        let args = ["--store", &store, "--file", file.to_str().unwrap(), "--name", name, "--ttl-seconds", "2"];
        Terminal::open(FENCED_WRITER, &args, &[])
    };
    let mut anna = writer("anna");
    anna.wait_for("Writing line 2");
    let mut bert = writer("bert");
    // Nearly all of a writer's time passes between a question and the write that follows it.
    anna.signal(Signal::STOP);
    bert.wait_for("Writing line 2");
    anna.signal(Signal::CONT);
    anna.wait_for("REFUSED line");
    anna.wait_for("has written already");
    bert.wait_for("Writing line 4");
    assert!(bert.end(Signal::TERM).success());
    // Refused once, it campaigns again, and leads under a higher term.
    until("anna's second tenure", || anna.output().matches("Leading under term").count() == 2);
    let before = std::fs::read_to_string(&file).unwrap().lines().count();
    until("anna's second tenure's lines", || std::fs::read_to_string(&file).unwrap().lines().count() > before + 1);
    assert!(anna.end(Signal::TERM).success());
    let text = std::fs::read_to_string(&file).unwrap();
    let terms: Vec<u64> = text.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    assert!(terms.is_sorted(), "{text}");
    let mut distinct = terms.clone();
    distinct.dedup();
    assert_eq!(distinct.len(), 3, "{text}");
}

/// The component's callbacks follow leadership; its pages say what a reader of `/debug/vars` and `/metrics` expects.
#[test]
fn the_component_calls_back_and_shows_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let replica = |name: &str| {
        let args = ["--store", &store, "--identity", name, "--lease-duration", "3s"];
        Terminal::open(CALLBACKS, &args, &["--renew-deadline", "2s", "--retry-period", "500ms"])
    };
    let mut one = replica("pod-1");
    one.wait_for("callback: started leading");
    one.wait_for("deployed");
    let mut two = replica("pod-2");
    two.wait_for("callback: new leader pod-1");
    assert!(!two.output().contains("became leader"));

    let address = |terminal: &mut Terminal| terminal.wait_for("listening on ").trim().to_owned();
    let (at_one, at_two) = (address(&mut one), address(&mut two));
    let variables = |address: &str| {
        let page: serde_json::Value = serde_json::from_str(&terminal::get(address, "/debug/vars").1).unwrap();
        page["leader_election"].clone()
    };
    let (led, followed) = (variables(&at_one), variables(&at_two));
    assert_eq!((&led["enabled"], &led["is_leader"], &led["identity"]), (&true.into(), &true.into(), &"pod-1".into()));
    assert_eq!((&followed["is_leader"], &followed["lease_holder"]), (&false.into(), &"pod-1".into()));
    assert!(led["time_as_leader"].is_string() && led["transitions"].is_u64());
    let metrics = terminal::get(&at_one, "/metrics").1;
    for name in ["controller_is_leader 1", "controller_leader_transitions_total", "controller_time_as_leader_seconds"] {
        assert!(metrics.contains(name), "{name} is missing:\n{metrics}");
    }

    assert!(one.end(Signal::TERM).success());
    one.wait_for("lost leadership identity=pod-1 reason=resigned time_as_leader=");
    one.wait_for("callback: stopped leading");
    one.wait_for("the deployer has ended");
    two.wait_for("callback: started leading");
    two.kill();
}

/// The component reads its settings from the YAML document that controllers have; what is wrong with one ends it, with a line that
/// names the file and the key.
#[test]
fn the_component_reads_yaml() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let file = folder.path().join("controller.yaml");
    let yaml = r#"controller:
  leader_election:
    enabled: true
    lease_name: "haproxy-template-ic-leader"
    lease_duration: "60s"
    renew_deadline: "15s"
    retry_period: "5s"
"#;
    std::fs::write(&file, yaml).unwrap();
    let args = ["--store", &store, "--config", file.to_str().unwrap(), "--identity", "pod-abc123"];
    let mut replica = Terminal::open(CALLBACKS, &args, &[]);
    replica.wait_for("leader election started identity=pod-abc123 lease=haproxy-template-ic-leader");
    replica.wait_for("became leader identity=pod-abc123");
    assert!(replica.end(Signal::TERM).success());
    replica.wait_for("lost leadership identity=pod-abc123 reason=resigned");

    std::fs::write(&file, yaml.replace("\"15s\"", "15")).unwrap();
    let output = std::process::Command::new(CALLBACKS).args(args).env("RUST_BACKTRACE", "0").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.trim_end().lines().count() == 1, "{said}");
    for words in ["controller.yaml", "renew_deadline", "\"15\"", "with a unit"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

/// The leader hands out tickets, the others send callers there; tickets never repeat, whoever is killed.
#[test]
fn the_service_answers_at_the_leader() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let service = |name: &str| Terminal::open(SERVICE, &["--store", &store, "--name", name, "--ttl-seconds", "2"], &[]);
    let mut anna = service("anna");
    anna.wait_for("Leading under term");
    let mut bert = service("bert");
    let address = |terminal: &mut Terminal| terminal.wait_for("Listening on ").trim().to_owned();
    let (at_anna, at_bert) = (address(&mut anna), address(&mut bert));

    let ticket = |text: &str| {
        let ticket: serde_json::Value = serde_json::from_str(text).unwrap();
        (ticket["term"].as_u64().unwrap(), ticket["number"].as_u64().unwrap())
    };
    let (status, body) = terminal::get(&at_anna, "/next");
    assert_eq!(status, 200);
    let first = ticket(&body);
    // The follower leads the way: its answer is a redirect to where the note says the leader is.
    let (status, head) = terminal::head(&at_bert, "/next");
    assert_eq!(status, 307);
    assert!(head.to_lowercase().contains(&format!("location: {at_anna}/next")), "{head}");
    let (at_leader, leader) = terminal::get(&at_anna, "/leader");
    let (at_follower, same) = terminal::get(&at_bert, "/leader");
    assert_eq!((at_leader, at_follower), (200, 503));
    for page in [leader, same] {
        let page: serde_json::Value = serde_json::from_str(&page).unwrap();
        assert_eq!((page["leader"].as_str(), page["advertise"].as_str()), (Some("anna"), Some(&*at_anna)));
    }

    anna.kill();
    let mut second = None;
    until("a ticket from the other instance", || {
        let (status, body) = terminal::get(&at_bert, "/next");
        second = (status == 200).then(|| ticket(&body));
        second.is_some()
    });
    assert!(second.unwrap() > first, "{second:?} after {first:?}");
    assert!(bert.end(Signal::TERM).success());
}
