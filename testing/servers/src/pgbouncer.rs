//! PgBouncer before a PostgreSQL server, run as the user `postgres` where the test runs as root.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::{Missing, Postgres, Server, StartError, find, free_port};

/// A pooler that lends the connections of one server to many clients.
#[derive(Debug)]
pub struct PgBouncer {
    // Declared before the folder, so that the pooler ends before its files are removed.
    _server: Server,
    port: u16,
    _folder: TempDir,
}

impl PgBouncer {
    /// The installed program.
    pub fn find() -> Result<PathBuf, Missing> {
        find("pgbouncer", "install the Debian package pgbouncer")
    }

    /// Starts one before this server, with a pool of so many connections: `mode` is `session`, `transaction` or `statement`.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn start(program: &PathBuf, server: &Postgres, mode: &str, pool: usize) -> Result<PgBouncer, StartError> {
        let io = |error| StartError::Io { name: "pgbouncer".to_owned(), error };
        let (folder, port) = (tempfile::tempdir().map_err(io)?, free_port());
        let (config, users) = (folder.path().join("pgbouncer.ini"), folder.path().join("users.txt"));
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\ndefault_pool_size = {pool}\n",
            server.port(),
            users.display(),
        );
        std::fs::write(&config, text).map_err(io)?;
        std::fs::write(&users, "\"postgres\" \"\"\n").map_err(io)?;
        let mut command = Command::new(program);
        if rustix::process::geteuid().is_root() {
            // It refuses to be root's. In place of the program that changes the user, so that the pid is its own.
            Command::new("chown").args(["-R", "postgres:"]).arg(folder.path()).status().map_err(io)?;
            command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
        }
        command.arg(&config);
        let answers = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        let log = folder.path().join("log");
        let server = Server::start(format!("pgbouncer on port {port}"), command, log, answers)?;
        Ok(PgBouncer { _server: server, port, _folder: folder })
    }

    /// The URL of the database `postgres` behind it, for the user `postgres`.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}
