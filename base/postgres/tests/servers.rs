//! What PostgreSQL, and the way to it, can do to a client: answers that are lost, tables that are missing, locks, logins, TLS.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tenure_base_postgres::{
    Database, DatabaseConfig, DatabaseError, DatabaseErrorKind, IS_REPLICA, Row, Table, Type, UrlForm,
};
use tenure_test_servers::{Cut, Postgres, PostgresOptions, PostgresPrograms, Proxy, or_skip};
use tokio::time::Instant;

const FORM: UrlForm = UrlForm {
    name: "postgres",
    example: "postgres://USER@HOST/DATABASE",
    port: 0,
    options: &["sslmode", "sslrootcert", "sslcert", "sslkey"],
};

fn server(options: PostgresOptions) -> Option<Arc<Postgres>> {
    Some(Arc::new(or_skip("postgres client", true, PostgresPrograms::find())?.start(options).unwrap()))
}

/// Somebody locks all counts for so many seconds.
fn locked(server: &Arc<Postgres>, seconds: u8) -> JoinHandle<String> {
    let locking = Arc::clone(server);
    let sql = format!("begin; select from counts for update; select pg_sleep({seconds}); commit");
    let locked = std::thread::spawn(move || locking.psql(&sql));
    while server.psql("select count(*) from pg_stat_activity where wait_event = 'PgSleep'").trim() != "1" {}
    locked
}

/// A table of counts, and who counts there.
struct Counts {
    database: Database,
    table: Table,
}

impl Counts {
    fn at(url: &str) -> Result<Counts, DatabaseError> {
        let (config, _) = DatabaseConfig::parse(url, &FORM)?;
        let table = Table::new(None, "counts", "name text primary key, count bigint not null");
        Ok(Counts { database: Database::new(config.with_environment()?)?, table })
    }

    async fn count(&self, name: &str) -> Result<Option<i64>, DatabaseError> {
        let sql = format!("select {IS_REPLICA}, count from {} where name = $1", self.table.name());
        let rows = self.database.read(&self.table, &sql, &[(&name, Type::TEXT)]).await?;
        Ok(rows.first().map(|row| row.try_get(1)).transpose()?)
    }

    async fn add(&self, name: &str) -> Result<Vec<Row>, DatabaseError> {
        let sql = format!(
            "insert into {} as c values ($1, 1) on conflict (name) do update set count = c.count + 1",
            self.table.name()
        );
        self.database.write(&self.table, &sql, &[(&name, Type::TEXT)]).await
    }
}

async fn refused(url: &str) -> DatabaseError {
    match Counts::at(url) {
        Ok(counts) => counts.count("a").await.unwrap_err(),
        Err(error) => error,
    }
}

fn through(proxy: &Proxy) -> String {
    format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable&timeout=1s", proxy.port())
}

/// A write whose answer is cut off is unknown and is not sent again; a read is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_sent_once() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    let proxy = Proxy::to(server.port()).unwrap();
    let counts = Counts::at(&through(&proxy)).unwrap();
    counts.add("a").await.unwrap();
    let cut = proxy.cut(Cut::InsideReply);
    let error = counts.add("a").await.unwrap_err();
    assert_eq!(error.kind(), DatabaseErrorKind::Unknown, "{error}");
    drop(cut);
    assert_eq!(counts.count("a").await.unwrap(), Some(2));
    // Packets vanish: no answer in time, and none is made up.
    let cut = proxy.cut(Cut::Silent);
    let sent = Instant::now();
    let error = counts.add("a").await.unwrap_err();
    assert_eq!(error.kind(), DatabaseErrorKind::Unknown, "{error}");
    assert!(sent.elapsed() < Duration::from_secs(5), "{:?}", sent.elapsed());
    drop(cut);
    // The idle connections end, and nobody has told the client: the next read finds another one.
    drop(proxy.cut(Cut::Closed));
    assert!(matches!(counts.count("a").await.unwrap(), Some(2 | 3)));
    // What was never sent was not done.
    let cut = proxy.cut(Cut::Closed);
    let fresh = Counts::at(&through(&proxy)).unwrap();
    let error = fresh.add("b").await.unwrap_err();
    assert_eq!(error.kind(), DatabaseErrorKind::Unreachable, "{error}");
    drop(cut);
    assert_eq!(fresh.count("b").await.unwrap(), None);
}

/// Of many who come at once one makes the table, and nobody fails; whoever finds it dropped makes it anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_made_on_first_use() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    for round in 0..5 {
        let added = futures(16, |_| {
            let counts = Counts::at(&server.url()).unwrap();
            async move { counts.add("a").await.map(drop) }
        });
        for added in added.await {
            added.unwrap();
        }
        assert_eq!(server.psql("select count from counts").trim(), "16", "round {round}");
        server.psql("drop table counts");
    }
    server.psql("create role app login; revoke create on schema public from public");
    let error = refused(&server.url().replace("postgres@", "app@")).await;
    assert_eq!(error.kind(), DatabaseErrorKind::Denied, "{error}");
    assert!(error.to_string().ends_with(Counts::at(&server.url()).unwrap().table.create()), "{error}");
}

/// However many calls there are, the server sees no more than four connections; a call that is given up is cancelled there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_few() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    let counts = Arc::new(Counts::at(&(server.url() + "?timeout=1s")).unwrap());
    counts.add("a").await.unwrap();
    let sessions = || {
        let sql = "select count(*) from pg_stat_activity where application_name = 'tenure'";
        server.psql(sql).trim().parse::<usize>().unwrap()
    };
    let calls = futures(40, |_| {
        let counts = Arc::clone(&counts);
        async move { counts.add("a").await.map(drop) }
    });
    for call in calls.await {
        call.unwrap();
    }
    assert!((1..=Database::CONNECTIONS).contains(&sessions()), "{}", sessions());
    assert_eq!(counts.count("a").await.unwrap(), Some(41));
    // Somebody holds the row for longer than anybody waits.
    let locked = locked(&server, 4);
    let error = counts.add("a").await.unwrap_err();
    assert_eq!(error.kind(), DatabaseErrorKind::Unknown, "{error}");
    let waiting = "select count(*) from pg_stat_activity where application_name = 'tenure' and state = 'active'";
    let until = Instant::now() + Duration::from_secs(2);
    while server.psql(waiting).trim() != "0" {
        assert!(Instant::now() < until, "the statement still waits at the server");
    }
    locked.join().unwrap();
    assert_eq!(counts.count("a").await.unwrap(), Some(41));
}

/// A statement that the server itself ends was not done, whoever set the limit, and the next one succeeds.
#[tokio::test]
async fn a_statement_that_the_server_ends_was_not_done() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    server
        .psql("create table counts (name text primary key, count bigint not null); insert into counts values ('a', 1)");
    for setting in ["statement_timeout", "lock_timeout"] {
        server.psql(&format!("alter role postgres set {setting} = '100ms'"));
        let counts = Counts::at(&server.url()).unwrap();
        assert_eq!(counts.count("a").await.unwrap(), Some(1));
        server.psql(&format!("alter role postgres reset {setting}"));
        let locked = locked(&server, 1);
        let error = counts.add("a").await.unwrap_err();
        assert_eq!(error.kind(), DatabaseErrorKind::Unavailable, "{setting}: {error}");
        locked.join().unwrap();
        assert_eq!(counts.count("a").await.unwrap(), Some(1), "{setting}");
    }
}

/// A listener hears what other connections notify, in order, until its connection ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifications_are_heard() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    let counts = Counts::at(&server.url()).unwrap();
    assert!(counts.database.notifications_arrive("counts").await);
    let mut listener = counts.database.listen("counts").await.unwrap();
    server.psql(
        "select pg_notify('counts', 'one'); select pg_notify('others', 'none'); select pg_notify('counts', 'two')",
    );
    assert_eq!(listener.next().await.as_deref(), Some("one"));
    assert_eq!(listener.next().await.as_deref(), Some("two"));
    server.psql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tenure'");
    assert_eq!(listener.next().await, None);
}

/// A wrong password, a user and a database that are not there, a server that is not: each is told with the host and without the
/// password, and a refusal is no reason to try again.
#[tokio::test]
async fn wrong_logins_are_told() {
    let options = PostgresOptions { password: Some("right".to_owned()), ..PostgresOptions::default() };
    let Some(server) = server(options) else { return };
    let with = |login: &str| server.url().replace("postgres@", login);
    let error = refused(&with("postgres:hunter2@")).await;
    let said = error.to_string();
    assert!(
        !error.is_retryable() && said.contains("password authentication failed") && said.contains("PGPASSFILE"),
        "{said}"
    );
    assert!(said.contains(&server.port().to_string()) && !said.contains("hunter2"), "{said}");
    let without = refused(&with("postgres@")).await.to_string();
    assert!(without.contains("password"), "{without}");
    let nowhere = refused(&format!("postgres://postgres:right@127.0.0.1:{}/none", server.port())).await.to_string();
    assert!(nowhere.contains("\"none\" does not exist"), "{nowhere}");
    let nobody = refused("postgres://postgres@127.0.0.1:1/postgres").await;
    assert!(nobody.is_retryable() && nobody.to_string().contains("127.0.0.1:1"), "{nobody}");
    Counts::at(&with("postgres:right@")).unwrap().add("a").await.unwrap();
    let socket = server.folder().display().to_string().replace('/', "%2F");
    let over_socket =
        Counts::at(&format!("postgres://postgres@{socket}:{}/postgres?timeout=2s", server.port())).unwrap();
    assert_eq!(over_socket.count("a").await.unwrap(), Some(1));
}

/// TLS: a server whose authority is named is trusted, one that is unknown is refused by name where TLS must be, and used all the
/// same where it need not be; a server without TLS is refused where it must be.
#[tokio::test]
async fn tls_is_as_sslmode_says() {
    let Some(programs) = or_skip("postgres client", true, PostgresPrograms::find()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name)
    };
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.distinguished_name.push(rcgen::DnType::CommonName, "authority");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let ca = file("ca.pem", authority.self_signed(&authority_key).unwrap().pem());
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let tls = Some((file("server.pem", certificate.pem()), file("server.key", key.serialize_pem())));
    let options = PostgresOptions { tls, password: Some("right".to_owned()), ..PostgresOptions::default() };
    let server = programs.start(options).unwrap();
    let url = server.url().replace("postgres@", "postgres:right@");
    let encrypted = || {
        server.psql(
            "select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'tenure'",
        )
    };
    let trusting = Counts::at(&format!("{url}?sslmode=verify-full&sslrootcert={}", ca.display())).unwrap();
    trusting.add("a").await.unwrap();
    assert_eq!(encrypted().trim(), "t");
    drop(trusting);
    let unknown = refused(&format!("{url}?sslmode=require")).await.to_string();
    assert!(unknown.contains("certificate") && unknown.contains("?sslrootcert=FILE"), "{unknown}");
    let missing = refused(&format!("{url}?sslmode=require&sslrootcert=/no/such.pem")).await.to_string();
    assert!(missing.contains("/no/such.pem"), "{missing}");
    let other =
        refused(&format!("{}?sslmode=require&sslrootcert={}", url.replace("127.0.0.1", "localhost"), ca.display()))
            .await
            .to_string();
    assert!(other.contains("certificate"), "{other}");
    let opportunistic = Counts::at(&url).unwrap();
    opportunistic.add("a").await.unwrap();
    assert_eq!(encrypted().trim(), "t");
    let plain = programs.start(PostgresOptions::default()).unwrap();
    let never = refused(&format!("{}?sslmode=require&sslrootcert={}", plain.url(), ca.display())).await.to_string();
    assert!(never.contains("TLS"), "{never}");
    Counts::at(&plain.url()).unwrap().add("a").await.unwrap();
}

/// The results of so many calls at once.
async fn futures<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    count: usize,
    call: impl Fn(usize) -> F,
) -> Vec<T> {
    let calls: Vec<_> = (0..count).map(|number| tokio::spawn(call(number))).collect();
    let mut results = Vec::with_capacity(count);
    for call in calls {
        results.push(call.await.unwrap());
    }
    results
}
