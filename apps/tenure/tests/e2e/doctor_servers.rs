//! `tenure doctor` over servers: what weakens the guarantee there, and rights that are missing.

use std::time::Duration;

use tenure_test_servers::{
    EtcdOptions, EtcdPrograms, KubePrograms, PostgresOptions, PostgresPrograms, RedisOptions, RedisPrograms, or_skip,
};
use tokio::time::Instant;

use crate::fleet::tenure;
use crate::operators::{Ran, ran};

/// The doctor's findings on this store, which may hold a password.
fn doctor(url: &str) -> Ran {
    let ran = ran(tenure().args(["doctor", "--json"]).env("TENURE_STORE", url));
    assert!(!ran.out.contains("hunter2") && !ran.err.contains("hunter2"), "{}{}", ran.out, ran.err);
    ran
}

/// Status and remedy of the first finding of this check that says so.
fn found(ran: &Ran, check: &str, text: &str) -> (String, String) {
    let says = |line: &serde_json::Value| line["check"] == check && line["text"].as_str().unwrap().contains(text);
    let line = ran.lines().into_iter().find(says).unwrap_or_else(|| panic!("no {check} says {text:?}: {}", ran.out));
    (line["status"].as_str().unwrap().to_owned(), line["remedy"].as_str().unwrap_or_default().to_owned())
}

/// Whether the binary has this store; the closing table says where it has not.
fn has(scheme: &str) -> bool {
    let stores = ran(tenure().args(["stores", "--json"])).lines();
    let has = stores.iter().any(|store| store["scheme"] == scheme && store["compiled"] == true);
    if !has {
        println!("SKIPPED: doctor on {scheme}: this binary has no such store");
    }
    has
}

/// What weakens the guarantee on a server is warned of with its mend, and so is a right that no election needs: nothing of it is a
/// failure. Nothing that was tried is left.
#[test]
fn the_doctor_looks_at_the_server_and_at_each_right() {
    let Some(programs) = or_skip("doctor", true, RedisPrograms::find()) else { return };
    let arguments = ["--maxmemory-policy", "allkeys-lru"].map(str::to_owned).to_vec();
    let server = programs.start(RedisOptions { durable: true, arguments, ..RedisOptions::default() }).unwrap();
    server.cli(["ACL", "SETUSER", "some", "on", ">hunter2", "~*", "&*", "+@all", "-scan"]);
    let url = format!("redis://some:hunter2@127.0.0.1:{}?durable=true", server.port());
    let ran = doctor(&url);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let ok = ("ok".to_owned(), String::new());
    for (check, text) in [
        ("server", "Redis "),
        ("server", "syncs each write to disk"),
        ("clock offset", "agree within"),
        ("lease", "claimed"),
        ("wake-ups", "is told within"),
        ("documents", "made, read, changed, deleted"),
    ] {
        assert_eq!(found(&ran, check, text), ok, "{check}");
    }
    let (status, remedy) = found(&ran, "server", "maxmemory-policy is allkeys-lru");
    assert!(status == "warn" && remedy.starts_with("CONFIG SET maxmemory-policy noeviction"), "{remedy}");
    let (status, remedy) = found(&ran, "list", "scan");
    assert!(status == "warn" && remedy.contains("ACL SETUSER"), "{status}: {remedy}");
    for left in ["tenure-doctor*", "*doctor*document*"] {
        assert_eq!(server.cli(["--scan", "--pattern", left]).trim(), "", "something is left");
    }
}

/// Without the right to list the doctor still tries everything else: its round trip needs none.
#[test]
fn the_doctor_needs_no_list() {
    if !has("kubernetes") {
        return;
    }
    let Some(kube) = or_skip("doctor on Kubernetes", false, KubePrograms::find()) else { return };
    let kube = kube.start().unwrap();
    kube.allow("get, create, update").unwrap();
    let url = format!("kubernetes:default?kubeconfig={}", kube.limited(true).unwrap().display());
    let until = Instant::now() + Duration::from_secs(60);
    // The authorizer learns of roles by a watch of its own.
    while ran(tenure().args(["who", "k", "--store", &url])).code != Some(1) {
        assert!(Instant::now() < until, "the role is not heeded");
        std::thread::sleep(Duration::from_millis(100));
    }
    let ran = doctor(&url);
    let status = |check: &str| found(&ran, check, "").0;
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert_eq!([status("round trip"), status("lease"), status("documents")], ["ok"; 3]);
    assert_eq!([status("list"), status("wake-ups")], ["warn"; 2], "{}", ran.out);
    assert!(found(&ran, "server", "may not list").1.contains("--verb=get,list,watch"), "{}", ran.out);
}

/// A user who may read and nothing more is told by the statement that gives what is missing, and nothing is left that was tried.
#[test]
fn the_doctor_names_the_grant_that_is_missing() {
    if !has("postgres") {
        return;
    }
    let Some(programs) = or_skip("doctor on PostgreSQL", true, PostgresPrograms::find()) else { return };
    let server = programs.start(PostgresOptions::default()).unwrap();
    let whole = doctor(&server.url());
    assert_eq!((whole.code, found(&whole, "lease", "claimed").0.as_str()), (Some(0), "ok"), "{}", whole.out);
    assert_eq!(server.psql("select holder from tenure_leases where holder is not null").trim(), "");
    assert_eq!(server.psql("select key from tenure_documents").trim(), "");
    server.psql("create role reader login; grant select on tenure_leases, tenure_documents to reader");
    let reader = doctor(&server.url().replace("//postgres@", "//reader@"));
    assert_eq!(reader.code, Some(1), "{}{}", reader.out, reader.err);
    assert_eq!((found(&reader, "round trip", "").0.as_str(), found(&reader, "list", "").0.as_str()), ("ok", "ok"));
    let (status, remedy) = found(&reader, "lease", "permission denied");
    assert!(status == "fail" && remedy.contains("GRANT SELECT, INSERT, UPDATE, DELETE ON"), "{remedy}");
    let (status, remedy) = found(&reader, "documents", "permission denied");
    assert!(status == "warn" && remedy.contains("GRANT"), "{status}: {remedy}");
}

/// A user of etcd who may do nothing below the prefix is told by the command that gives what is missing. (Of one who may
/// read there the oldest servers allow writes as well: they do not check what is nested in a transaction.)
#[test]
fn the_doctor_names_the_role_that_is_missing() {
    if !has("etcd") {
        return;
    }
    let Some(programs) = or_skip("doctor on etcd", true, EtcdPrograms::find()) else { return };
    let mut etcd = programs.start(1, &EtcdOptions::default()).unwrap();
    for line in [
        "user add root:rootpw",
        "role add root",
        "user grant-role root root",
        "user add reader:hunter2",
        "role add looks",
        "role grant-permission looks read --prefix=true elsewhere/",
        "user grant-role reader looks",
        "auth enable",
    ] {
        etcd.nodes()[0].ctl(line.split(' '));
    }
    let reader = doctor(&etcd.url().replace("etcd://", "etcd://reader:hunter2@"));
    assert_eq!(reader.code, Some(1), "{}{}", reader.out, reader.err);
    let (status, remedy) = found(&reader, "store", "permission denied");
    assert!(status == "fail" && remedy.contains("etcdctl role grant-permission"), "{status}: {remedy}");
    let wrong = doctor(&etcd.url().replace("etcd://", "etcd://reader:hunter22@"));
    assert_eq!((wrong.code, found(&wrong, "store", "login is refused").0.as_str()), (Some(1), "fail"), "{}", wrong.out);
}
