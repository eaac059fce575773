//! Servers that are not there, speak another protocol, lack something, or refuse the login.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tokio::time::Instant;

use tenure_test_servers::{
    Nats, NatsLogin, NatsOptions, Redis, RedisOptions, RedisPrograms, RedisTls, Server, free_port, nats_program,
    or_skip,
};

use super::{lock, mended, refused};
use crate::fleet::tenure;
use crate::operators::ran;

/// A call to a server that speaks something else is answered within this, on a machine under load.
const BOUND: Duration = Duration::from_secs(15);

fn redis(options: RedisOptions) -> Option<Redis> {
    let programs = or_skip("wrong calls", true, RedisPrograms::find())?;
    Some(programs.start(options).unwrap())
}

fn nats() -> Option<Nats> {
    let program = or_skip("wrong calls", true, nats_program("2.9"))?;
    Some(Nats::start(&program, &NatsOptions::default()).unwrap())
}

/// Reads a bus; a bus that is there and empty has nothing to print.
fn tail(url: &str) -> Command {
    let mut command = tenure();
    command.args(["tail", "--from", "start", "--no-follow", "--bus", url]);
    command
}

/// A web server, as far as a wrong call meets it: whatever is asked, it answers 400.
fn web_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for peer in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut peer, mut asked) = (peer, [0; 512]);
                let _ = peer.read(&mut asked);
                let _ = peer.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            });
        }
    });
    port
}

/// A certificate for this machine, and its authority, which is itself.
struct Certificate {
    folder: tempfile::TempDir,
}

impl Certificate {
    fn new() -> Certificate {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Certificate { folder }
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    fn redis(&self) -> Option<Redis> {
        let tls = RedisTls { certificate: self.certificate(), key: self.key(), ca: self.certificate() };
        redis(RedisOptions { tls: Some(tls), ..RedisOptions::default() })
    }
}

/// A port where nobody listens is told with what to look at; a server there mends it.
#[test]
fn no_server_is_told() {
    let Some(server) = redis(RedisOptions::default()) else { return };
    let port = free_port();
    let url = format!("redis://127.0.0.1:{port}");
    let line = format!(
        "the store {url}: redis 127.0.0.1:{port}: not reachable: Connection refused (os error 111); check that a server listens \
         there, and that the store's URL is right"
    );
    refused(&mut lock(&url), 69, &line);
    refused(tenure().args(["leases", "--store", &url]), 69, &line);
    let nobody = free_port();
    let bus = format!("nats://127.0.0.1:{nobody}");
    let line = format!(
        "the bus {bus}: nats bus: 127.0.0.1:{nobody}: cannot be connected to: Connection refused (os error 111); check that a server \
         listens there, and that the URL is right"
    );
    refused(&mut tail(&bus), 69, &line);
    mended(&mut lock(&format!("redis://127.0.0.1:{}?durable=true", server.port())));
}

/// A name that no machine has is told as such.
#[test]
fn a_misspelt_host_is_told() {
    let said = ran(&mut lock("redis://no-such-host.invalid"));
    let begin = "tenure: the store redis://no-such-host.invalid: redis no-such-host.invalid:6379: not reachable: ";
    assert!(said.err.starts_with(begin) && said.err.ends_with("; check the host's name\n"), "{}", said.err);
    assert_eq!(said.code, Some(69));
    let said = ran(&mut tail("nats://no-such-host.invalid"));
    let begin =
        "tenure: the bus nats://no-such-host.invalid: nats bus: no-such-host.invalid:4222: cannot be connected to: ";
    assert!(said.err.starts_with(begin) && said.err.ends_with("; check the host's name\n"), "{}", said.err);
    assert_eq!(said.code, Some(69));
}

/// Who answers in another protocol is named, in time, whichever was expected and whichever is spoken; what the line says is
/// right.
#[test]
fn another_protocol_is_named() {
    let certificate = Certificate::new();
    let (Some(plain), Some(tls), Some(nats)) = (redis(RedisOptions::default()), certificate.redis(), nats()) else {
        return;
    };
    let web = web_server();
    let (plain_port, tls_port, nats_port) = (plain.port(), tls.port(), nats.port());
    let began = Instant::now();
    let not_redis = "write the host and port of the Redis server (its usual port is 6379)";
    for (scheme, port, why) in [
        ("redis", web, format!("an HTTP server answers there, not Redis; {not_redis}")),
        ("redis", nats_port, format!("a NATS server answers there, not Redis; {not_redis}")),
        ("redis", tls_port, "speaks TLS; write rediss://".to_owned()),
        ("rediss", plain_port, "speaks no TLS; write redis://".to_owned()),
        ("rediss", web, format!("an HTTP server answers there, not Redis; {not_redis}")),
        ("rediss", nats_port, format!("a NATS server answers there, not Redis; {not_redis}")),
    ] {
        let url = format!("{scheme}://127.0.0.1:{port}");
        refused(&mut lock(&url), 69, &format!("the store {url}: redis 127.0.0.1:{port}: {why}"));
    }
    let not_nats = "write the host and port of the NATS server (its usual port is 4222)";
    for (scheme, port, why) in [
        ("nats", web, format!("an HTTP server answers there, not NATS: {not_nats}")),
        ("nats", plain_port, format!("a Redis server answers there, not NATS: {not_nats}")),
        (
            "nats",
            tls_port,
            format!(
                "begins with TLS: where it is a NATS server (handshake_first there), add ?tls=first; else {not_nats}"
            ),
        ),
        ("tls", web, format!("an HTTP server answers there, not NATS: {not_nats}")),
        ("tls", nats_port, "speaks no TLS: use nats:// without tls, or configure tls there".to_owned()),
    ] {
        let url = format!("{scheme}://127.0.0.1:{port}");
        refused(&mut tail(&url), 69, &format!("the bus {url}: nats bus: 127.0.0.1:{port}: {why}"));
    }
    assert!(began.elapsed() < BOUND * 11, "{:?}", began.elapsed());
    let durable = |url: String| format!("{url}{}durable=true", if url.contains('?') { "&" } else { "?" });
    mended(&mut lock(&durable(format!("redis://127.0.0.1:{plain_port}"))));
    let trusted = format!("rediss://localhost:{tls_port}?ca={}", certificate.certificate().display());
    mended(&mut lock(&durable(trusted)));
}

/// A NATS server without JetStream is told at once, with the switch that mends it.
#[test]
fn nats_without_jetstream_says_js() {
    let Some(program) = or_skip("wrong calls", true, nats_program("2.9")) else { return };
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let start = |further: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-sd"]).arg(folder.path()).args(further);
        let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        Server::start("nats", command, folder.path().join("log"), listens).unwrap()
    };
    let off = start(&[]);
    let url = format!("nats://127.0.0.1:{port}");
    let line = format!(
        "the bus {url}: nats bus: 127.0.0.1:{port} has no JetStream: start it with `nats-server -js`, or write `jetstream {{}}` into \
         its configuration (nobody answers at $JS.API.STREAM.NAMES)"
    );
    let began = Instant::now();
    refused(&mut tail(&url), 69, &line);
    assert!(began.elapsed() < BOUND);
    let ingest = ran(tenure()
        .args(["ingest", "--channel", "c", "--irc-url", "irc://127.0.0.1:1", "--bus", &url])
        .env("XDG_STATE_HOME", folder.path()));
    assert_eq!(ingest.code, Some(69), "{}", ingest.err);
    assert!(ingest.err.ends_with(&format!("tenure: {line}\n")), "{}", ingest.err);
    drop(off);
    let _on = start(&["-js"]);
    // What is missing now is what `ingest` makes.
    refused(
        &mut tail(&url),
        69,
        &format!("the bus {url}: nats bus: there is no stream for internal.ingress.v1; `tenure ingest` makes it"),
    );
}

/// Passwords that are missing or wrong, and rights that are too narrow, are told with the setting that mends them.
#[test]
fn refused_logins_are_told() {
    let Some(server) = redis(RedisOptions { password: Some("right".to_owned()), ..RedisOptions::default() }) else {
        return;
    };
    let port = server.port();
    let url = format!("redis://127.0.0.1:{port}/0?durable=true");
    let with = |password: &str| {
        let mut command = lock(&url);
        command.env("TENURE_REDIS_PASSWORD", password);
        command
    };
    let line = format!(
        "the store {url}: redis 127.0.0.1:{port}: NOAUTH Authentication required; set TENURE_REDIS_PASSWORD, or \
         TENURE_REDIS_PASSWORD_FILE"
    );
    refused(&mut lock(&url), 69, &line);
    let line = format!(
        "the store {url}: redis 127.0.0.1:{port}: the password was refused; see TENURE_REDIS_USER and TENURE_REDIS_PASSWORD"
    );
    refused(&mut with("wrong"), 69, &line);
    mended(&mut with("right"));

    // A user who may read alone; then one with the rule of docs/stores.md.
    server.cli(["-a", "right", "ACL", "SETUSER", "job", "on", ">pw", "~*", "&*", "+get", "+info"]);
    let mut job = with("pw");
    let said = ran(job.env("TENURE_REDIS_USER", "job"));
    assert_eq!(said.code, Some(69), "{}", said.err);
    assert!(
        said.err.lines().count() == 1 && said.err.contains("docs/stores.md has the ACL SETUSER rule"),
        "{}",
        said.err
    );
    let guide = include_str!("../../../../../docs/stores.md");
    let rule = guide.lines().find(|line| line.contains("ACL SETUSER")).unwrap();
    let rule: Vec<&str> =
        rule.split("ACL SETUSER").nth(1).unwrap().trim_matches(['`', ' ']).split_whitespace().collect();
    let rule = rule
        .iter()
        .skip(1)
        .map(|word| if word.starts_with('>') { ">pw" } else { word })
        .map(|word| word.trim_matches('\''));
    server.cli(["-a", "right", "ACL", "SETUSER", "job", "reset"].into_iter().chain(rule).chain(["~*", "&*"]));
    mended(&mut job);

    let Some(program) = or_skip("wrong calls", true, nats_program("2.9")) else { return };
    let login = NatsLogin::User("job".to_owned(), "right".to_owned());
    let nats = Nats::start(&program, &NatsOptions { login, ..NatsOptions::default() }).unwrap();
    let bus = format!("nats://127.0.0.1:{}", nats.port());
    let line = format!(
        "the bus {bus}: nats bus: 127.0.0.1:{}: Authorization Violation: see NATS_CREDS, NATS_NKEY, NATS_USER with NATS_PASSWORD, or \
         NATS_TOKEN",
        nats.port()
    );
    refused(&mut tail(&bus), 69, &line);
    let said = ran(tail(&bus).env("NATS_USER", "job").env("NATS_PASSWORD", "right"));
    assert!(!said.err.contains("Authorization"), "{}", said.err);
}
