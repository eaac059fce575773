//! Child processes that use the store: the test binary itself, run again, told by lines on its standard input.
#![allow(dead_code, reason = "each test uses a part")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child as Process, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use tenure_sqlite::{SqliteConfig, SqliteStore};
use tenure_store::{
    Claim, Claimed, Held, HolderId, KeyPrefix, LeaseKey, LeaseStore, Nonce, Note, Released, Renewed, Term,
};

/// Names the database to a process that is to be a child; its absence says that a process is not one.
const DATABASE: &str = "TENURE_TEST_CHILD_DATABASE";
const PROCESS: &str = "TENURE_TEST_CHILD_NUMBER";

/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// One child and its two ends. Killed, if it still lives, when this is dropped.
pub(crate) struct Child {
    process: Process,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Child {
    /// Starts child number `number`; it does nothing until told.
    pub(crate) fn start(database: &Path, number: u64) -> Child {
        Child::under(&[], database, number).unwrap()
    }

    /// The same in a working folder, from which the database's name may begin.
    pub(crate) fn start_in(folder: &Path, database: &Path, number: u64) -> Child {
        Child::spawn(&[], Some(folder), database, number).unwrap()
    }

    /// Starts a child by way of another program, such as `unshare`.
    pub(crate) fn under(wrapper: &[&str], database: &Path, number: u64) -> std::io::Result<Child> {
        Child::spawn(wrapper, None, database, number)
    }

    fn spawn(wrapper: &[&str], folder: Option<&Path>, database: &Path, number: u64) -> std::io::Result<Child> {
        let exe = std::env::current_exe()?;
        let mut command = match wrapper {
            [] => Command::new(exe),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(exe);
                command
            }
        };
        command.args(["--exact", "child_process", "--nocapture"]);
        command.env(DATABASE, database).env(PROCESS, number.to_string());
        if let Some(folder) = folder {
            command.current_dir(folder);
        }
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (orders, output) = (process.stdin.take(), process.stdout.take().unwrap());
        let (lines, answers) = channel();
        std::thread::spawn(move || {
            // What the test harness itself prints does not begin with the mark.
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some((_, answer)) = line.split_once("@ ")
                    && lines.send(answer.to_owned()).is_err()
                {
                    break;
                }
            }
        });
        Ok(Child { process, orders, answers })
    }

    /// The process that was started.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Gives an order without waiting for the answer.
    pub(crate) fn tell(&mut self, order: &str) {
        let orders = self.orders.as_mut().unwrap();
        writeln!(orders, "{order}").unwrap();
        orders.flush().unwrap();
    }

    /// The next answer.
    pub(crate) fn hear(&mut self) -> String {
        self.try_hear().unwrap_or_else(|error| panic!("no answer from child {}: {error}", self.id()))
    }

    /// The next answer, or that there is none because the child has ended.
    pub(crate) fn try_hear(&mut self) -> Result<String, RecvTimeoutError> {
        self.answers.recv_timeout(PATIENCE)
    }

    /// Gives an order and waits for its answer.
    pub(crate) fn ask(&mut self, order: &str) -> String {
        self.tell(order);
        self.hear()
    }

    /// SIGKILL, and waits until nothing is left.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // A child under a wrapper ends by itself when its input does.
        self.orders = None;
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Does as it is told, if this process is a child; returns at once if it is not.
pub(crate) fn obey() {
    let Some(database) = std::env::var_os(DATABASE) else { return };
    let process: u64 = std::env::var(PROCESS).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!("\n@ ready");
    let mut store: Option<SqliteStore> = None;
    for order in std::io::stdin().lines().map_while(Result::ok) {
        let words: Vec<&str> = order.split(' ').collect();
        let answer = runtime.block_on(async {
            if store.is_none() {
                store = Some(SqliteStore::open(SqliteConfig::new(&database)).await.map_err(|error| error.to_string())?);
            }
            let store = store.as_ref().unwrap();
            match words[..] {
                ["open"] => Ok("opened".to_owned()),
                ["chdir", folder] => {
                    std::env::set_current_dir(folder).map(|()| "changed".to_owned()).map_err(|error| error.to_string())
                }
                ["acquire", key, ttl_ms] => acquire(store, process, key, ttl_ms.parse().unwrap()).await,
                ["renew", key, term, ttl_ms] => {
                    renew(store, &held(process, key, term.parse().unwrap(), ttl_ms.parse().unwrap())).await
                }
                ["release", key, term] => release(store, &held(process, key, term.parse().unwrap(), 1_000)).await,
                ["list"] => {
                    let listed = store.list(&KeyPrefix::default()).await.map_err(|error| error.to_string())?;
                    let names: Vec<_> =
                        listed.iter().map(|record| format!("{}={}", record.key, record.holder)).collect();
                    Ok(names.join(" "))
                }
                ["spin"] => spin(store, process).await,
                _ => Err(format!("unknown order {order:?}")),
            }
        });
        println!("@ {}", answer.unwrap_or_else(|error: String| format!("error {error}")));
    }
}

/// The claim that child `process` makes for a key.
pub(crate) fn claim(process: u64, key: &str, ttl_ms: u64) -> Claim {
    Claim {
        note: Note::new("x".repeat(500)).unwrap(),
        ..Claim::new(
            LeaseKey::new(key).unwrap(),
            HolderId::new(format!("child-{process}")).unwrap(),
            Nonce { process, campaign: 1 },
            Duration::from_millis(ttl_ms),
        )
    }
}

fn held(process: u64, key: &str, term: u64, ttl_ms: u64) -> Held {
    let Claim { key, nonce, ttl, note, .. } = claim(process, key, ttl_ms);
    Held { key, nonce, term: Term::new(term).unwrap(), ttl, note }
}

async fn acquire(store: &SqliteStore, process: u64, key: &str, ttl_ms: u64) -> Result<String, String> {
    match store.acquire(&[claim(process, key, ttl_ms)]).await.map(|mut answers| answers.remove(0)) {
        Ok(Ok(Claimed::Granted { term, .. })) => Ok(format!("granted {term}")),
        Ok(Ok(Claimed::Held { by, .. })) => Ok(format!("held {by}")),
        Ok(Ok(stale @ Claimed::Stale { .. })) => Err(format!("{stale:?}")),
        Ok(Err(error)) | Err(error) => Err(error.to_string()),
    }
}

async fn renew(store: &SqliteStore, held: &Held) -> Result<String, String> {
    match store.renew(std::slice::from_ref(held)).await.map(|mut answers| answers.remove(0)) {
        Ok(Ok(Renewed::Extended { .. })) => Ok("extended".to_owned()),
        Ok(Ok(Renewed::Lost { to })) => Ok(format!("lost {}", to.map_or("-".to_owned(), |to| to.to_string()))),
        Ok(Err(error)) | Err(error) => Err(error.to_string()),
    }
}

async fn release(store: &SqliteStore, held: &Held) -> Result<String, String> {
    match store.release(std::slice::from_ref(held)).await.map(|mut answers| answers.remove(0)) {
        Ok(Ok(Released::Freed)) => Ok("freed".to_owned()),
        Ok(Ok(Released::NotHeld)) => Ok("not held".to_owned()),
        Ok(Err(error)) | Err(error) => Err(error.to_string()),
    }
}

/// Claims, renews and releases without end, on keys that all children share; says so every twenty rounds.
async fn spin(store: &SqliteStore, process: u64) -> Result<String, String> {
    for round in 0_u64.. {
        let key = format!("spin/{}", round % 7);
        if let Ok(Some(term)) =
            acquire(store, process, &key, 60_000).await.map(|said| said.strip_prefix("granted ").map(str::to_owned))
        {
            let own = held(process, &key, term.parse().unwrap(), 60_000);
            drop(renew(store, &own).await);
            drop(release(store, &own).await);
        }
        if round % 20 == 0 {
            println!("@ spun {round}");
        }
    }
    Ok(String::new())
}
