//! What `tenure run` offers around its command: hooks, endpoints, an advertised address, a health gate.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::fleet::{alive, tenure};
use crate::operators::ran;
use crate::run::{KEY, LONG, Scene, until};

/// Writes the environment that hooks and commands get to the file in the first argument.
const TELL: &str =
    r#"echo "${TENURE_EVENT:-command} $TENURE_KEY $TENURE_TERM ${TENURE_REASON:-} ${TENURE_DETAIL:-}" >> "$BEATS""#;

/// The lines that were written so far.
fn told(scene: &Scene) -> Vec<String> {
    let text = std::fs::read_to_string(scene.file("beats")).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(str::to_owned).collect()
}

/// Status code and JSON of an endpoint; nothing where it does not answer.
fn get(address: SocketAddr, path: &str) -> Option<(u16, Value, String)> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((code, serde_json::from_str(body).unwrap_or_default(), body.to_owned()))
}

/// Where a run that was told `--http :0` listens.
fn endpoints(run: &crate::run::Run) -> SocketAddr {
    let mut found = None;
    until("the endpoints' address", || {
        let errors = run.errors();
        found = errors.lines().find_map(|line| line.strip_prefix("tenure: endpoints at http://")?.parse().ok());
        found.is_some()
    });
    found.unwrap()
}

/// Each tenure is told of when it begins and when nothing of it is left, with its key and term, and why it ended.
#[test]
fn hooks_tell_when_a_tenure_begins_and_ends() {
    let scene = Scene::new();
    let script = format!("{TELL}; sleep 0.5; exit 3");
    let (code, ..) = scene.output(&["--ttl", LONG, "--on-elected", TELL, "--on-lost", TELL], &script);
    assert_eq!(code, Some(3));
    let told = told(&scene);
    assert_eq!(told.len(), 3, "{told:?}");
    let term = told[0].split(' ').nth(2).unwrap().to_owned();
    assert!(term.parse::<u64>().unwrap() > 0);
    for event in ["command", "elected"] {
        assert!(told[..2].contains(&format!("{event} {KEY} {term}  ")), "{told:?}");
    }
    assert_eq!(told[2], format!("lost {KEY} {term} work_ended the command ended"));
}

/// Why leadership was lost is told, after the command's end.
#[test]
fn the_reason_of_a_loss_is_told() {
    let scene = Scene::new();
    let mut run = scene.run(&["--ttl", "2s", "--on-lost", TELL], &format!("{TELL}; exec sleep 1000"));
    until("the command", || told(&scene).len() == 1);
    let ended = ran(tenure().args(["resign", "--lease", KEY, "--store", &scene.store()]));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(run.end().code(), Some(75));
    let told = told(&scene);
    assert!(told.len() == 2 && told[1].ends_with(" resign_requested asked to resign"), "{told:?}");
}

/// A hook that fails is told of; the command and its exit code know nothing of it.
#[test]
fn a_hook_that_fails_is_told_of() {
    let scene = Scene::new();
    let flags = ["--ttl", LONG, "--on-elected", "exit 7", "--on-lost", "exit 8"];
    let (code, _, errors) = scene.output(&flags, "sleep 0.5");
    assert_eq!(code, Some(0));
    assert!(errors.contains("--on-elected ended with exit status: 7"), "{errors}");
    assert!(errors.contains("--on-lost ended with exit status: 8"), "{errors}");
}

/// A hook of the beginning belongs to the tenure: it and what it started are dead when the command has ended, and do not
/// hold up its end.
#[test]
fn a_hook_ends_with_its_tenure() {
    let scene = Scene::new();
    let hook = r#"setsid sleep 1000 & echo $! >> "$BEATS"; trap '' TERM; sleep 1000"#;
    let flags = ["--ttl", "10s", "--stop-timeout", "300ms", "--on-elected", hook];
    let (code, ..) = scene.output(&flags, r#"until [ -s "$BEATS" ]; do sleep 0.01; done; exit 4"#);
    assert_eq!(code, Some(4));
    let pid: i32 = told(&scene)[0].parse().unwrap();
    assert!(!alive(pid));
}

/// A hook of the end that hangs is ended by a signal.
#[test]
fn a_hook_that_hangs_can_be_ended() {
    let scene = Scene::new();
    let mut run = scene.run(&["--ttl", LONG, "--on-lost", r#"echo $$ >> "$BEATS"; sleep 1000"#], "true");
    until("the hook", || told(&scene).len() == 1);
    // It listens anew once the command is done; told too early it would not hear.
    until("the end", || {
        run.signal(Signal::TERM);
        run.child.try_wait().unwrap().is_some()
    });
    let pid: i32 = told(&scene)[0].parse().unwrap();
    assert!(!alive(pid));
}

/// `/leader` names the leader on each instance: 200 on it, 503 elsewhere, with the address it advertises; readiness,
/// `/debug/vars` and metrics know both parts.
#[test]
fn endpoints_tell_who_leads() {
    let scene = Scene::new();
    let flags = |name: &'static str, address: &'static str| {
        ["--ttl", LONG, "--holder", name, "--http", ":0", "--advertise", address]
    };
    let first = scene.run(&flags("first", "10.0.0.1:80"), "exec sleep 1000");
    let one = endpoints(&first);
    until("the first to lead", || get(one, "/leader").is_some_and(|(code, ..)| code == 200));
    let second = scene.run(&flags("second", "10.0.0.2:80"), "exec sleep 1000");
    let two = endpoints(&second);
    until("the second to wait", || get(two, "/readyz").is_some_and(|(code, ..)| code == 200));
    let (_, own, _) = get(one, "/leader").unwrap();
    let (code, other, _) = get(two, "/leader").unwrap();
    assert_eq!(code, 503);
    for body in [&own, &other] {
        assert_eq!((&body["key"], &body["leader"]), (&KEY.into(), &"first".into()), "{body}");
        assert_eq!(body["advertise"], "10.0.0.1:80", "{body}");
        assert!(body["remaining_ms"].as_u64().unwrap() > 0, "{body}");
    }
    assert_eq!((&own["is_self"], &other["is_self"]), (&true.into(), &false.into()));
    assert_eq!(own["term"], other["term"]);
    assert_eq!(get(one, "/readyz").unwrap().1["role"], "leader");
    assert_eq!(get(two, "/readyz").unwrap().1["role"], "standby");
    assert_eq!(get(two, "/healthz").unwrap().0, 200);
    for (address, leads, identity) in [(one, true, "first"), (two, false, "second")] {
        let election = &get(address, "/debug/vars").unwrap().1["leader_election"];
        assert_eq!((&election["enabled"], &election["is_leader"]), (&true.into(), &leads.into()), "{election}");
        assert_eq!(
            (&election["identity"], &election["lease_holder"]),
            (&identity.into(), &"first".into()),
            "{election}"
        );
        assert!(election["time_as_leader"].as_str().is_some_and(|time| time.ends_with('s')), "{election}");
        assert!(election["transitions"].is_u64(), "{election}");
    }
    let metrics = |address| get(address, "/metrics").unwrap().2;
    let line = |value: u8| format!("tenure_is_leader{{lease=\"{KEY}\"}} {value}");
    assert!(metrics(one).contains(&line(1)) && metrics(two).contains(&line(0)), "{}", metrics(one));

    let leases = ran(tenure().args(["leases", "--json", "--store", &scene.store()]));
    assert_eq!(leases.lines()[0]["advertise"], "10.0.0.1:80", "{}", leases.out);
}

/// An instance that is not healthy does not campaign; it does as soon as it is.
#[test]
fn an_unhealthy_instance_does_not_campaign() {
    let scene = Scene::new();
    let check = format!("test -e {}", scene.file("fit").display());
    let flags = ["--ttl", "2s", "--http", ":0", "--health-cmd", &check, "--health-interval", "50ms"];
    let run = scene.run(&flags, &format!("{TELL}; exec sleep 1000"));
    let address = endpoints(&run);
    until("the first verdict", || run.errors().contains("unhealthy: the health command ended with exit status: 1"));
    assert_eq!(get(address, "/readyz").unwrap().0, 503);
    assert!(get(address, "/metrics").unwrap().2.contains("tenure_ready 0\n"));
    assert!(scene.leases().is_empty() && told(&scene).is_empty());
    let (code, _, errors) = scene.output(&["--ttl", "2s", "--no-wait", "--health-cmd", "exit 1"], "echo must not run");
    assert_eq!(code, Some(76), "{errors}");
    std::fs::write(scene.file("fit"), "").unwrap();
    until("the command", || told(&scene).len() == 1);
    assert_eq!(get(address, "/readyz").unwrap().0, 200);
    assert!(get(address, "/metrics").unwrap().2.contains("tenure_ready 1\n"));
}

/// A leader that falls ill hands over to a healthy standby, and takes part again once it is well; a check that hangs is
/// none that says yes.
#[test]
fn a_leader_that_falls_ill_hands_over() {
    let scene = Scene::new();
    let ill = scene.file("ill");
    let check = format!("test ! -e {} || sleep 1000", ill.display());
    let flags = |name: &'static str| ["--ttl", "3s", "--holder", name, "--restart"];
    let health = ["--health-cmd", &check, "--health-interval", "50ms", "--health-timeout", "500ms"];
    let script = format!("{TELL}; exec sleep 1000");
    let run = scene.run(&[&flags("first")[..], &health].concat(), &script);
    until("the first tenure", || told(&scene).len() == 1);
    let other = scene.run(&flags("second"), &script);
    other.waits();
    std::fs::write(&ill, "").unwrap();
    until("the second tenure", || told(&scene).len() == 2);
    assert_eq!(scene.leases()[0].holder.as_str(), "second");
    assert!(
        run.errors().contains("gave no answer within 500ms") && run.errors().contains("unhealthy"),
        "{}",
        run.errors()
    );
}
