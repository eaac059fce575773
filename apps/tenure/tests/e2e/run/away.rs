//! A store that is away: waited for where that was asked, told of in any case, and left without a lease that nobody holds.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
use rustix::process::Signal;
use tenure_core::{Claim, Claimed, HolderId, LeaseKey, Nonce};
use tenure_test_servers::{Redis, RedisOptions, RedisPrograms, free_port, or_skip};

use super::{KEY, LONG, Run, Scene, until};
use crate::fleet::tenure;

/// How a run ended that was waited for, and what it said.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
    after: Duration,
}

/// Runs `echo ran` under the tests' key in this store to its end.
fn ran(store: &str, flags: &[&str]) -> Ended {
    let began = tokio::time::Instant::now();
    let mut command = tenure();
    let output = command.args(["run", KEY, "--store", store]).args(flags).args(["--", "echo", "ran"]).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr), after: began.elapsed() }
}

/// Starts the same.
fn start(scene: &Scene, store: &str, flags: &[&str]) -> Run {
    let mut command = tenure();
    command.args(["run", KEY, "--store", store]).args(flags).args(["--", "echo", "ran"]).stdout(Stdio::null());
    scene.start(&mut command)
}

fn redis(suite: &str) -> Option<Redis> {
    Some(
        or_skip(suite, true, RedisPrograms::find())?
            .start(RedisOptions { durable: true, ..Default::default() })
            .unwrap(),
    )
}

/// Holds this key for four seconds, as somebody who does nothing more about it.
fn hold(store: &str, key: &str) {
    let claim = Claim::new(
        LeaseKey::new(key).unwrap(),
        HolderId::new("first").unwrap(),
        Nonce { process: 7, campaign: 1 },
        Duration::from_secs(4),
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answers = runtime.block_on(async { tenure_open::open(store).await.unwrap().acquire(&[claim]).await.unwrap() });
    assert!(matches!(answers[..], [Ok(Claimed::Granted { .. })]), "{answers:?}");
}

/// Who does not wait is told at once, in a line that says how to wait.
#[test]
fn who_does_not_wait_for_a_store_exits_69() {
    let store = format!("redis://127.0.0.1:{}", free_port());
    for (flags, hint) in [(&[][..], true), (&["--no-wait"], false), (&["--no-wait", "--restart"], false)] {
        let Ended { code, out, err, .. } = ran(&store, flags);
        assert_eq!((code, out.as_str(), err.lines().count()), (Some(69), "", 1), "{err}");
        assert_eq!(err.contains("waits for it with --wait D or --restart"), hint, "{err}");
    }
}

/// A store that refuses is no store that is away: nothing is waited for that will not come.
#[test]
fn who_is_refused_does_not_wait() {
    let scene = Scene::new();
    std::fs::write(scene.file("leases.db"), "this is no database, and will not become one").unwrap();
    let Ended { code, err, .. } = ran(&scene.store(), &["--wait", "10m"]);
    assert_eq!(code, Some(69), "{err}");
    assert!(err.contains("not a SQLite database") && err.lines().count() == 1, "{err}");
}

/// With `--wait` or `--restart` a run waits for its store as for its lease, says so, and goes on when the store comes.
#[test]
fn a_store_that_comes_is_waited_for() {
    let Some(mut redis) = redis("run store") else { return };
    redis.kill();
    let scene = Scene::new();
    for flags in [&["--wait", "10m", "--ttl", "1s"][..], &["--restart", "--ttl", "1s"]] {
        let mut run = start(&scene, &redis.url(), flags);
        until("the wait", || {
            run.errors().contains("waiting until the store can be reached: the store redis://127.0.0.1:")
        });
        redis.start_again().unwrap();
        assert_eq!(run.end().code(), Some(0), "{}", run.errors());
        assert!(run.errors().contains("tenure: the store can be reached\n"), "{}", run.errors());
        redis.kill();
    }
}

/// A signal ends the wait for a store, and leaves nothing behind.
#[test]
fn a_signal_ends_the_wait_for_a_store() {
    let scene = Scene::new();
    let mut run = start(&scene, &format!("redis://127.0.0.1:{}", free_port()), &["--restart"]);
    until("the wait", || run.errors().contains("waiting until the store can be reached"));
    run.signal(Signal::TERM);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&run.end()), Some(15), "{}", run.errors());
}

/// A store that never answers, because it is silent, or because nothing gets there, ends a wait at its end: with 69, as nobody
/// can say who holds the lease.
#[test]
fn a_store_that_never_answers_ends_a_wait() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dropping = Dropping::new();
    for (port, wait, most) in [(silent.local_addr().unwrap().port(), "1s", 1), (dropping.port(), "4s", 4)] {
        let Ended { code, out, err, after } = ran(&format!("redis://127.0.0.1:{port}"), &["--wait", wait]);
        assert_eq!((code, out.as_str()), (Some(69), ""), "{err}");
        let last = err.lines().last().unwrap();
        assert!(last.ends_with(&format!("; gave up after {wait}, in which the store never answered")), "{err}");
        assert!(after >= Duration::from_secs(most), "{after:?}");
    }
}

/// A port whose connections are never made: the queue of those that wait to be accepted is full.
struct Dropping {
    address: SocketAddr,
    _listener: rustix::fd::OwnedFd,
    _waiting: Vec<TcpStream>,
}

impl Dropping {
    fn new() -> Dropping {
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        listen(&listener, 0).unwrap();
        let address = SocketAddr::try_from(rustix::net::getsockname(&listener).unwrap()).unwrap();
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
        let waiting: Vec<TcpStream> = (0..16).map_while(connect).collect();
        assert!(waiting.len() < 16, "the queue is not full");
        Dropping { address, _listener: listener, _waiting: waiting }
    }

    fn port(&self) -> u16 {
        self.address.port()
    }
}

/// A store that stops answering during a wait is the reason that is told, with who held the lease when it last did: 76. A claim that
/// it was sent meanwhile, and carries out later, is given back as soon as it answers: nobody waits for the ttl of a lease that
/// nobody holds.
#[test]
fn a_store_that_stops_answering_is_the_reason() {
    let Some(redis) = redis("run claims") else { return };
    let scene = Scene::new();
    // It has just started, and keeps what it has acknowledged.
    let store = format!("{}?durable=true", redis.url());
    hold(&store, KEY);
    let mut run = start(&scene, &store, &["--ttl", LONG, "--wait", "9s"]);
    run.waits();
    redis.stop();
    assert_eq!(run.end().code(), Some(76), "{}", run.errors());
    let errors = run.errors();
    assert!(errors.contains(&format!("{KEY} was held by first; the store has failed for ")), "{errors}");
    assert!(errors.contains("; gave up after 9s\n"), "{errors}");
    let stays = process_that_stays(&errors);
    assert!(crate::fleet::alive(stays), "{errors}");
    redis.resume();
    until("the end of what stays", || !crate::fleet::alive(stays));
    let Ended { code, out, err, .. } = ran(&store, &["--ttl", LONG, "--wait", "20s"]);
    assert_eq!((code, out.as_str()), (Some(0), "ran\n"), "{err}");
}

/// The same for a claim that was granted, with its answer lost: of one key, where the store never answered, and of slots. The lease
/// is there until the store can be reached again, and then it is not.
#[test]
fn a_claim_whose_answer_was_lost_leaves_no_lease() {
    let Some(redis) = redis("run claims") else { return };
    let store = |port: u16| format!("redis://127.0.0.1:{port}?durable=true");
    // A server that has never granted anything is sent the script once more, which nobody can see from here.
    assert_eq!(ran(&store(redis.port()), &[]).code, Some(0));
    for flags in [&["--wait", "2s"][..], &["--no-wait"], &["--wait", "2s", "--slots", "2"]] {
        let scene = Scene::new();
        let way = Swallowing::before(redis.port(), "claimant");
        let flags = [&["--ttl", LONG, "--holder", "claimant"], flags].concat();
        let mut run = start(&scene, &store(way.port), &flags);
        let code = if flags.contains(&"--slots") { 76 } else { 69 };
        assert_eq!(run.end().code(), Some(code), "{}", run.errors());
        let held = || {
            let leases = tenure().args(["leases", "--json", "--store", &store(redis.port())]).output().unwrap();
            String::from_utf8(leases.stdout).unwrap().contains(KEY)
        };
        let stays = process_that_stays(&run.errors());
        assert!(held() && crate::fleet::alive(stays), "{}", run.errors());
        way.open();
        until("the end of what stays", || !crate::fleet::alive(stays));
        assert!(!held(), "{}", run.errors());
    }
}

/// What stays to look for a claim keeps nothing that was inherited: a lock of whoever started the run is free when the run has ended.
#[test]
fn what_stays_keeps_no_lock_of_its_caller() {
    let Some(redis) = redis("run claims") else { return };
    let store = |port: u16| format!("redis://127.0.0.1:{port}?durable=true");
    assert_eq!(ran(&store(redis.port()), &[]).code, Some(0));
    let scene = Scene::new();
    let way = Swallowing::before(redis.port(), "claimant");
    let lock = scene.file("lock");
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 7> \"$0\" && flock -n 7 && exec \"$@\""]).arg(&lock).arg(tenure().get_program());
    shell.args(["run", KEY, "--ttl", LONG, "--holder", "claimant", "--no-wait", "--store", &store(way.port)]);
    let mut run = scene.start(shell.args(["--", "true"]).env("TENURE_CONFIG", "").stdout(Stdio::null()));
    assert_eq!(run.end().code(), Some(69), "{}", run.errors());
    let stays = process_that_stays(&run.errors());
    let is_free = || Command::new("flock").arg("-n").arg(&lock).arg("true").status().unwrap().success();
    until("the caller's lock is free", is_free);
    assert!(crate::fleet::alive(stays));
    way.open();
    until("the end of what stays", || !crate::fleet::alive(stays));
}

/// The process that a run left behind, as it says.
fn process_that_stays(errors: &str) -> i32 {
    assert!(errors.contains("the store has not said whether it granted"), "{errors}");
    errors.split("process ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().parse().unwrap()
}

/// A way to a server that swallows all answers from the first request on that has this text in it, until it is opened.
struct Swallowing {
    port: u16,
    text: &'static str,
    armed: AtomicBool,
    shut: AtomicBool,
}

impl Swallowing {
    fn before(server: u16, text: &'static str) -> Arc<Swallowing> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = Arc::new(Swallowing { port, text, armed: AtomicBool::new(true), shut: AtomicBool::new(false) });
        let accepting = Arc::clone(&way);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let Ok(near) = near else { return };
                let Ok(far) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let (requests, answers) = (Arc::clone(&accepting), Arc::clone(&accepting));
                let (from, to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                std::thread::spawn(move || requests.carry(from, to, true));
                std::thread::spawn(move || answers.carry(far, near, false));
            }
        });
        way
    }

    /// From now on answers pass.
    fn open(&self) {
        self.armed.store(false, Ordering::SeqCst);
        self.shut.store(false, Ordering::SeqCst);
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream, requests: bool) {
        let mut bytes = [0; 65_536];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let carried = &bytes[..count];
            let has_text = || carried.windows(self.text.len()).any(|window| window == self.text.as_bytes());
            if requests && self.armed.load(Ordering::SeqCst) && has_text() {
                self.shut.store(true, Ordering::SeqCst);
            }
            if (requests || !self.shut.load(Ordering::SeqCst)) && to.write_all(carried).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    }
}
