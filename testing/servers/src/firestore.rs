//! Google's Firestore emulator. It keeps everything in memory.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::{Missing, Server, StartError, find, free_port};

const REMEDY: &str =
    "install the gcloud CLI's component cloud-firestore-emulator, and a link to its jar in the folder of servers";
const JAVA_REMEDY: &str = "install the Debian package default-jre-headless";
/// How often it is started on another port: it listens seconds after it was told which, and somebody else may have that one
/// by then.
const ATTEMPTS: u32 = 3;
/// How long it may take to answer its first request, on a busy machine.
const FIRST_ANSWER: Duration = Duration::from_secs(20);
const MAIN: &str = "com.google.cloud.datastore.emulator.firestore.CloudFirestore";

/// What starts an emulator.
#[derive(Clone, Debug)]
pub struct FirestorePrograms {
    java: PathBuf,
    jar: PathBuf,
}

/// A running emulator, on a port of 127.0.0.1. Projects are apart, so one serves many tests.
#[derive(Debug)]
pub struct Firestore {
    // Declared before the folder, so that the server ends before its files are removed.
    server: Server,
    jar: PathBuf,
    port: u16,
    _folder: TempDir,
}

impl FirestorePrograms {
    /// Java, and the emulator's jar `firestore-emulator.jar`.
    pub fn find() -> Result<FirestorePrograms, Missing> {
        Ok(FirestorePrograms { java: find("java", JAVA_REMEDY)?, jar: find("firestore-emulator.jar", REMEDY)? })
    }

    /// Starts an emulator; it takes some seconds.
    pub fn start(&self) -> Result<Firestore, StartError> {
        for _ in 1..ATTEMPTS {
            if let Ok(started) = self.start_once() {
                return Ok(started);
            }
        }
        self.start_once()
    }

    fn start_once(&self) -> Result<Firestore, StartError> {
        let folder = tempfile::tempdir().map_err(|error| StartError::Io { name: "firestore".to_owned(), error })?;
        let port = free_port();
        let mut command = Command::new(&self.java);
        command.arg("-Xmx256m").arg("-cp").arg(&self.jar).arg(MAIN).args(["start", "--host=127.0.0.1"]);
        command.arg(format!("--port={port}")).current_dir(folder.path());
        let log = folder.path().join("log");
        let server = Server::start("firestore", command, log, || answers(port))?;
        Ok(Firestore { server, jar: self.jar.clone(), port, _folder: folder })
    }
}

impl Firestore {
    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:PORT`, for `FIRESTORE_EMULATOR_HOST`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The version of the emulator's component, where its jar lies in the folder of the gcloud CLI.
    pub fn version(&self) -> String {
        let sdk = self.jar.canonicalize().ok().and_then(|jar| jar.ancestors().nth(3).map(|sdk| sdk.join("VERSION")));
        let version = sdk.and_then(|file| std::fs::read_to_string(file).ok());
        version.map_or("unknown".to_owned(), |version| version.trim().to_owned())
    }

    /// The id of a project that is still empty.
    pub fn new_project(&self) -> String {
        static PROJECTS: AtomicU32 = AtomicU32::new(0);
        format!("demo-{}-{}", std::process::id(), PROJECTS.fetch_add(1, Ordering::Relaxed))
    }

    /// The process: to stop, resume and kill it.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Starts it again after a kill, on the same port, with nothing in it.
    pub fn start_again(&mut self) -> Result<(), StartError> {
        let port = self.port;
        self.server.start_again(|| answers(port))
    }
}

/// Whether it does its work: it listens long before, and its first write takes seconds.
fn answers(port: u16) -> bool {
    let root = "projects/warm-up/databases/(default)/documents";
    let write = format!(r#"{{"writes":[{{"update":{{"name":"{root}/a/b","fields":{{}}}}}}]}}"#);
    let read = format!(r#"{{"documents":["{root}/a/b"]}}"#);
    let query = r#"{"structuredQuery":{"from":[{"collectionId":"a"}]}}"#;
    let asked = [("commit", write.as_str()), ("batchGet", read.as_str()), ("runQuery", query)];
    asked.iter().all(|(method, body)| is_done(port, &format!("/v1/{root}:{method}"), body))
}

fn is_done(port: u16, path: &str, body: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut answer = [0; 12];
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer owner\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let asked = stream.set_read_timeout(Some(FIRST_ANSWER)).and_then(|()| stream.write_all(request.as_bytes()));
    asked.and_then(|()| stream.read_exact(&mut answer)).is_ok() && answer.ends_with(b"200")
}
