//! Wrong files: of stores, of buses, of certificates; and disks that are full or read-only.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::Connection;

use super::{Running, lock, mended, refused, sqlite};
use crate::fleet::{tenure, until};
use crate::operators::{Place, ran};

/// A folder in place of a file, a file in a folder that is not there, one of another program, and one that is no database are
/// told apart; doing what is said mends each.
#[test]
fn wrong_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().canonicalize().unwrap();
    let path = |name: &str| top.join(name);
    let at = |name: &str| path(name).display().to_string();
    let line = format!("the store sqlite:{}: is a folder; name a file in it", top.display());
    refused(&mut lock(&sqlite(&top)), 69, &line);
    mended(&mut lock(&sqlite(&path("x.db"))));

    let line = format!("the store sqlite:{}: the folder {} does not exist; create it", at("no/x.db"), at("no"));
    refused(&mut lock(&sqlite(&path("no/x.db"))), 69, &line);
    refused(tenure().args(["leases", "--store", &sqlite(&path("no/x.db"))]), 69, &line);
    std::fs::create_dir(path("no")).unwrap();
    mended(&mut lock(&sqlite(&path("no/x.db"))));

    Connection::open(path("theirs.db")).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let line = format!(
        "the store sqlite:{} belongs to another program, with tables such as theirs; name a file of its own",
        at("theirs.db")
    );
    refused(&mut lock(&sqlite(&path("theirs.db"))), 69, &line);
    std::fs::write(path("notes.txt"), "no database, but long enough that nobody takes it for an empty one").unwrap();
    let line = format!(
        "the store sqlite:{}: not a SQLite database; name another file (file is not a database)",
        at("notes.txt")
    );
    refused(&mut lock(&sqlite(&path("notes.txt"))), 69, &line);
    mended(&mut lock(&sqlite(&path("own.db"))));

    let none =
        format!("there is no bus at {}: name the one that `tenure ingest` publishes to with --bus", at("none.db"));
    refused(tenure().args(["tail", "--bus", &sqlite(&path("none.db"))]), 69, &none);
}

/// A file that is no PEM certificate is refused by its name, by `--check` and at the start, for the chat server's authority,
/// the store's and the bus's.
#[test]
fn garbage_certificates_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = |name: &str, content: &[u8]| {
        std::fs::write(folder.path().join(name), content).unwrap();
        folder.path().join(name).display().to_string()
    };
    let ingest = |ca: &str| {
        let mut command = tenure();
        command.args(["ingest", "--channel", "c", "--irc-ca", ca]);
        command.env("XDG_STATE_HOME", folder.path());
        command
    };
    let none = folder.path().join("none.pem").display().to_string();
    let good = file("good.pem", made.cert.pem().as_bytes());
    for (ca, why) in [
        (none, "No such file or directory (os error 2)"),
        (folder.path().display().to_string(), "Is a directory (os error 21)"),
        (file("empty.pem", b""), "it is empty; name the PEM file with the certificate"),
        (file("ca.der", made.cert.der()), "it is DER; make PEM of it with `openssl x509 -inform der`"),
        (
            file("key.pem", made.signing_key.serialize_pem().as_bytes()),
            "it holds a private key and no certificate; name the PEM file with the certificate",
        ),
        (
            file("notes.pem", b"notes"),
            "it holds no certificate (-----BEGIN CERTIFICATE-----); name the PEM file with the certificate",
        ),
    ] {
        let line = format!("irc-ca: {ca} is not usable: {why} (from flag)");
        refused(ingest(&ca).arg("--check"), 64, &line);
        refused(&mut ingest(&ca), 64, &line);
        let store = format!("rediss://127.0.0.1:1?ca={ca}");
        let line = format!("the store {store}: redis: {ca} is not usable: {why} (ca=, cert= and key= of the URL)");
        refused(&mut lock(&store), 64, &line);
        refused(ingest(&good).args(["--check", "--store", &store]), 64, &line);
        let bus = format!("tls://127.0.0.1:1?ca={ca}");
        let line = format!("the bus {bus}: nats bus: {ca} is not usable: {why}");
        refused(ingest(&good).args(["--check", "--bus", &bus]), 64, &line);
        refused(tenure().args(["tail", "--bus", &bus]), 64, &line);
    }
    mended(ingest(&good).args(["--check", "--store", &format!("rediss://127.0.0.1:1?ca={good}")]));
    mended(ingest(&good).args(["--check", "--bus", &format!("tls://127.0.0.1:1?ca={good}")]));
}

/// A table that was dropped before the start: who looks is told, `doctor` as well, and who claims makes it anew.
#[tokio::test]
async fn a_dropped_table_is_told_and_made_anew() {
    let place = Place::new();
    mended(&mut lock(&place.url));
    let path = place.folder.path().join("leases.db");
    Connection::open(&path).unwrap().execute_batch("DROP TABLE lease").unwrap();
    let missing = format!("{}: its table lease is missing: somebody has dropped it", place.url);
    let line = format!("the store {missing}; whoever claims or renews next makes it anew, and what was held is lost");
    refused(tenure().args(["leases", "--store", &place.url]), 69, &line);
    let doctor = place.run(&["doctor", "--json"]);
    let failed: Vec<_> = doctor.lines().into_iter().filter(|finding| finding["status"] == "fail").collect();
    assert_eq!(doctor.code, Some(1));
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["text"], missing.as_str());
    // Made anew, and waited for: nobody knows what was held.
    let waiting = ran(place.tenure(&["run", "--lease", "k", "--ttl", "1s", "--wait", "30s"]).args(["--", "true"]));
    assert_eq!(waiting.code, Some(0), "{}", waiting.err);
    let made = format!(
        "tenure: {}: its table lease was dropped by somebody, and made anew: what was held is lost, and nothing is granted for as \
         long as it may still be believed in",
        place.url
    );
    assert_eq!(waiting.err.lines().next(), Some(&*made), "{}", waiting.err);
    mended(&mut lock(&place.url));
}

/// A table that is dropped under a holder: it loses its lease, says why, and ends its command.
#[tokio::test]
async fn a_holder_whose_table_is_dropped_says_why_it_ends() {
    let place = Place::new();
    let mut holder = place.tenure(&["run", "--lease", "k", "--ttl", "2s"]);
    let mut holder = Running::start(holder.args(["--", "sleep", "600"]).stderr(Stdio::piped()));
    until("the lease is held", async || place.run(&["leases"]).out.contains('k')).await;
    let path = place.folder.path().join("leases.db");
    Connection::open(&path).unwrap().execute_batch("DROP TABLE lease").unwrap();
    until("the holder has ended", async || holder.0.try_wait().unwrap().is_some()).await;
    let mut said = String::new();
    holder.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(holder.0.wait().unwrap().code(), Some(75), "{said}");
    let told: Vec<_> = said.lines().collect();
    assert!(told[0].contains("its table lease was dropped by somebody, and made anew"), "{said}");
    assert!(told[1].starts_with("tenure: lost k:"), "{said}");
}

/// A bus whose table was dropped is never made anew in silence: it would publish again what it has forgotten.
#[tokio::test]
async fn a_bus_without_its_table_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus.db");
    let url = sqlite(&path);
    drop(tenure_bus_sqlite::SqliteBus::open(tenure_bus_sqlite::SqliteBusConfig::new(&path)).unwrap());
    Connection::open(&path).unwrap().execute_batch("DROP TABLE envelopes").unwrap();
    let line = format!(
        "the bus {url}: its table envelopes is missing: somebody has dropped it; put the file back from a copy, or move it away and \
         start anew to begin another bus"
    );
    refused(tenure().args(["tail", "--from", "start", "--no-follow", "--bus", &url]), 69, &line);
    std::fs::remove_file(&path).unwrap();
    drop(tenure_bus_sqlite::SqliteBus::open(tenure_bus_sqlite::SqliteBusConfig::new(&path)).unwrap());
    let doctor = ran(tenure().args(["doctor", "--json", "--bus", &url]).env("XDG_STATE_HOME", folder.path()));
    assert!(doctor.lines().iter().any(|finding| finding["check"] == "bus" && finding["status"] == "ok"));
}

/// A transaction that somebody leaves open is warned of once its log has grown large: by who writes, and by `doctor`.
#[tokio::test]
async fn a_log_that_grows_is_warned_of() {
    let place = Place::new();
    let path = place.folder.path().join("leases.db");
    let mut holder = place.tenure(&["run", "--lease", "k", "--ttl", "4s"]);
    let mut holder = Running::start(holder.args(["--", "sleep", "600"]).stderr(Stdio::piped()));
    until("the lease is held", async || place.run(&["leases"]).out.contains('k')).await;
    let foreign = Connection::open(&path).unwrap();
    foreign.execute_batch("BEGIN; SELECT count(*) FROM lease").unwrap();
    let writer = Connection::open(&path).unwrap();
    // Quickly, so that the holder is not kept from renewing.
    writer.execute_batch("PRAGMA synchronous = OFF; CREATE TABLE junk (b)").unwrap();
    while std::fs::metadata(path.with_file_name("leases.db-wal")).unwrap().len() <= 40_000_000 {
        writer.execute_batch("INSERT INTO junk VALUES (randomblob(1000000))").unwrap();
    }
    let mut lines = BufReader::new(holder.0.stderr.take().unwrap()).lines();
    let (tell, mut told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || tell.send(lines.next()));
    let mut line = None;
    until("the log is warned of", async || told.try_recv().is_ok_and(|next| line.replace(next).is_none())).await;
    let told = line.flatten().unwrap().unwrap();
    let open = format!("process {} (", std::process::id());
    assert!(told.starts_with(&format!("tenure: {}: its log (-wal) has grown to 4", place.url)), "{told}");
    assert!(told.contains(" MB and cannot be put into the file while "), "{told}");
    if cfg!(target_os = "linux") {
        assert!(told.contains(&open) && told.ends_with("end that transaction, or the process"), "{told}");
    }
    let warned = || {
        let findings = place.run(&["doctor", "--json"]).lines();
        findings.into_iter().find(|finding| finding["text"].as_str().unwrap().contains("its log (-wal) has grown"))
    };
    let warning = warned().expect("the doctor says nothing of the log");
    assert_eq!(warning["status"], "warn");
    assert!(warning["remedy"].as_str().unwrap().contains("end "), "{warning}");
    foreign.execute_batch("COMMIT").unwrap();
    until("the log is small again", async || warned().is_none()).await;
    holder.end();
}

/// A full disk and a read-only file system are told as what they are; room, or being mounted to be written, mends them.
#[test]
fn full_and_read_only_disks_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().canonicalize().unwrap();
    let url = sqlite(&top.join("leases.db"));
    let script = |steps: &str| {
        let mut command = Command::new("unshare");
        let tenure = env!("CARGO_BIN_EXE_tenure");
        let setup = format!(
            "mount -t tmpfs -o size=1m none {0} || exit 9; cd {0}; lock() {{ {tenure} run --lease k --no-wait --ttl 3s --store \
             {url} -- true 2>&1; echo \"code $?\"; }}; ",
            top.display()
        );
        command.args(["-m", "sh", "-c", &(setup + steps)]);
        ran(&mut command)
    };
    if !is_root() || script("true").code != Some(0) {
        println!("SKIPPED: wrong calls: full_and_read_only_disks_are_told: needs root and `unshare -m`");
        return;
    }
    let read_only = script("mount -o remount,ro none .; lock; mount -o remount,rw none .; lock");
    let line = format!(
        "tenure: the store {url}: cannot be made: the file system is read-only; name a file on another one (Read-only file system (os \
         error 30))\ncode 69\ncode 0\n"
    );
    assert_eq!(read_only.out, line);
    let there = script("lock; mount -o remount,ro none .; lock; mount -o remount,rw none .; lock");
    let line = format!(
        "code 0\ntenure: the store {url}: the file system is read-only; mount it to be written, or name a file on another \
         one\ncode 69\ncode 0\n"
    );
    assert_eq!(there.out, line);
    let full = script("head -c 2000000 /dev/zero > fill 2>/dev/null; lock; rm fill; lock");
    let said: Vec<_> = full.out.lines().collect();
    assert!(said[0].starts_with(&format!("tenure: the store {url}: the disk is full; make room")), "{}", full.out);
    assert_eq!(said[1..], ["code 69", "code 0"], "{}", full.out);
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether this path is one that everybody may search, from the root on.
pub(super) fn is_public(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.ancestors().skip(1).all(|folder| folder.metadata().is_ok_and(|found| found.permissions().mode() & 0o001 != 0))
}
