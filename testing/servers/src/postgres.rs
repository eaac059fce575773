//! PostgreSQL servers, run as the user `postgres` where the test runs as root.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

use crate::folder::{copy_folder, durable_folder};
use crate::{Missing, Server, StartError, WallClock, find, free_port};

const REMEDY: &str = "install the Debian package postgresql";

/// Where Debian keeps them, the newest last.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The programs of PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresPrograms {
    postgres: PathBuf,
    initdb: PathBuf,
    psql: PathBuf,
}

/// The options of a server. The default trusts every client, and speaks no TLS.
#[derive(Clone, Debug, Default)]
pub struct PostgresOptions {
    /// The password of the user `postgres`; every client must have one then.
    pub password: Option<String>,
    /// PEM files of the server's certificate and of its key: it offers TLS then.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The server's wall clock, where a test sets it; its file must be readable for the user `postgres`.
    pub clock: Option<WallClock>,
    /// Further settings, such as `["default_transaction_read_only=on"]`.
    pub settings: Vec<String>,
}

/// One running server, on a port of 127.0.0.1 and on a socket in its folder.
#[derive(Debug)]
pub struct Postgres {
    // Declared before the folder, so that the server ends before its files are removed.
    server: Server,
    programs: PostgresPrograms,
    options: PostgresOptions,
    port: u16,
    folder: TempDir,
}

impl PostgresPrograms {
    /// The installed ones: Debian's newest, else those on the path.
    pub fn find() -> Result<PostgresPrograms, Missing> {
        let mut folders: Vec<PathBuf> =
            std::fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|entry| entry.path().join("bin")).collect();
        folders.sort();
        let of = |program: &'static str| match folders
            .iter()
            .rev()
            .map(|folder| folder.join(program))
            .find(|file| file.is_file())
        {
            Some(file) => Ok(file),
            None => find(program, REMEDY),
        };
        Ok(PostgresPrograms {
            postgres: of("postgres")?,
            initdb: of("initdb")?,
            psql: of("psql").or_else(|_| find("psql", REMEDY))?,
        })
    }

    /// Makes a database and starts a server over it.
    ///
    /// # Errors
    /// Where it does not come up; also where root has no user `postgres` to run it as.
    pub fn start(&self, options: PostgresOptions) -> Result<Postgres, StartError> {
        let folder = durable_folder().map_err(io)?;
        let given = folder.path().display().to_string();
        if is_root() {
            // The server refuses to be root's, and wants a folder of its own.
            run(Command::new("chown").arg("postgres:").arg(folder.path()))?;
        }
        let data = folder.path().join("data");
        let mut made = self.command(&self.initdb);
        made.args(["-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C", "-D"]).arg(&data);
        run(&mut made)?;
        if let Some((certificate, key)) = &options.tls {
            for (from, to) in [(certificate, "server.crt"), (key, "server.key")] {
                let to = folder.path().join(to);
                std::fs::copy(from, &to).map_err(io)?;
                run(Command::new("chmod").arg("600").arg(&to))?;
                if is_root() {
                    run(Command::new("chown").arg("postgres:").arg(&to))?;
                }
            }
        }
        let port = free_port();
        let mut command = match &options.clock {
            None => self.command(&self.postgres),
            Some(clock) => {
                // By a program that begins as the server's own user: what the library leaves in shared memory is that user's.
                let mut command = self.command(Path::new("env"));
                command.args(clock.environment().map(|(name, value)| format!("{name}={value}"))).arg(&self.postgres);
                command
            }
        };
        command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        command.args(["-c", &format!("unix_socket_directories={given}"), "-c", "full_page_writes=off"]);
        if options.tls.is_some() {
            command.args(["-c", "ssl=on"]);
            command.args([
                "-c",
                &format!("ssl_cert_file={given}/server.crt"),
                "-c",
                &format!("ssl_key_file={given}/server.key"),
            ]);
        }
        for setting in &options.settings {
            command.args(["-c", setting]);
        }
        let server =
            Server::start(format!("postgres on port {port}"), command, folder.path().join("log"), || answers(port))?;
        let postgres = Postgres { server, programs: self.clone(), options, port, folder };
        if let Some(password) = &postgres.options.password {
            postgres.psql(&format!("alter role postgres password '{password}'"));
            let rules = "local all all trust\nhost all all all scram-sha-256\n";
            std::fs::write(data.join("pg_hba.conf"), rules).map_err(io)?;
            postgres.psql("select pg_reload_conf()");
        }
        Ok(postgres)
    }

    /// The program, as the user that may run it.
    fn command(&self, program: &Path) -> Command {
        if !is_root() {
            return Command::new(program);
        }
        // In place of the program that changes the user, so that the pid is the server's own.
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
        command
    }
}

impl Postgres {
    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its folder, with its socket.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The URL of its database `postgres`, for the user `postgres`, without a password.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Runs SQL as the administrator over the socket; returns what `psql` prints of it, on stdout and stderr together.
    pub fn psql(&self, sql: &str) -> String {
        let mut command = Command::new(&self.programs.psql);
        command.args(["-X", "-q", "-A", "-t", "-U", "postgres", "-d", "postgres", "-p", &self.port.to_string(), "-h"]);
        match command.arg(self.folder.path()).args(["-c", sql]).output() {
            Ok(said) => String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr),
            Err(error) => format!("psql cannot be started: {error}"),
        }
    }

    /// Stops the server with all its processes (SIGSTOP): it answers nobody, and connections stay open.
    pub fn stop(&self) {
        self.server.stop();
        // Each connection has a process of its own; the first, stopped, makes no more of them.
        self.signal_children(Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.signal_children(Signal::CONT);
        self.server.resume();
    }

    /// Kills it (SIGKILL) with all its processes, and waits until they are gone: it can be started again then.
    pub fn kill(&mut self) {
        let children = self.children();
        self.server.stop();
        self.signal_children(Signal::KILL);
        self.server.kill();
        let mut waited = Duration::ZERO;
        while waited < Duration::from_secs(10) && children.iter().any(|pid| test_kill_process(*pid).is_ok()) {
            std::thread::sleep(Duration::from_millis(5));
            waited += Duration::from_millis(5);
        }
    }

    /// Starts it again, with the data that it kept.
    pub fn start_again(&mut self) -> Result<(), StartError> {
        // The lock file of the one that was killed may name a process that is another one's by now.
        let _ = std::fs::remove_file(self.folder.path().join("data/postmaster.pid"));
        let port = self.port;
        self.server.start_again(|| answers(port))
    }

    /// Its version, such as `15.20`.
    pub fn version(&self) -> String {
        self.psql("show server_version").split_whitespace().next().unwrap_or("unknown").to_owned()
    }

    /// How many connections clients have, the one that asks left out.
    pub fn connections(&self) -> Option<usize> {
        let of_clients = "select count(*) from pg_stat_activity where backend_type = 'client backend'";
        self.psql(of_clients).trim().parse::<usize>().ok()?.checked_sub(1)
    }

    /// Saves a copy of the data on its disk, while it stands still.
    pub fn save(&self) -> Result<(), StartError> {
        self.stop();
        let copied = self.copy("data", "saved");
        self.resume();
        copied
    }

    /// Kills it, and starts it again with the copy that was saved last.
    pub fn rewind(&mut self) -> Result<(), StartError> {
        self.kill();
        self.copy("saved", "data")?;
        self.start_again()
    }

    /// Kills it, and starts it again with nothing in its database.
    pub fn lose(&mut self) -> Result<(), StartError> {
        self.kill();
        self.start_again()?;
        self.psql("drop schema public cascade; create schema public");
        Ok(())
    }

    fn copy(&self, from: &str, to: &str) -> Result<(), StartError> {
        copy_folder(&self.folder.path().join(from), &self.folder.path().join(to)).map_err(io)
    }

    /// The processes that it started.
    fn children(&self) -> Vec<Pid> {
        let Some(pid) = self.server.pid() else { return Vec::new() };
        let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        listed.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
    }

    fn signal_children(&self, signal: Signal) {
        for child in self.children() {
            let _ = kill_process(child, signal);
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether it takes connections: it answers the question for TLS with one letter, once it is up.
fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    // The start-up message of a user that need not exist: an error says whether it is still starting (57P03).
    let words = b"user\0postgres\0database\0postgres\0\0";
    let mut message = u32::try_from(words.len() + 8).unwrap_or(0).to_be_bytes().to_vec();
    message.extend(196_608_u32.to_be_bytes());
    message.extend(words);
    let mut answer = [0; 512];
    let asked = stream.set_read_timeout(Some(Duration::from_secs(1))).and_then(|()| stream.write_all(&message));
    let Ok(count @ 1..) = asked.and_then(|()| stream.read(&mut answer)) else { return false };
    !answer[..count].windows(5).any(|code| code == b"57P03")
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn run(command: &mut Command) -> Result<(), StartError> {
    let said = command.output().map_err(io)?;
    if said.status.success() {
        return Ok(());
    }
    let what = format!("{:?}: {}", command.get_program(), said.status);
    let log = String::from_utf8_lossy(&said.stderr).into_owned();
    Err(StartError::NotReady { name: "postgres".to_owned(), what, log })
}

fn io(error: std::io::Error) -> StartError {
    StartError::Io { name: "postgres".to_owned(), error }
}
