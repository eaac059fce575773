//! A fake of an API server, and no more: it answers by rules of the test, and can say something without an end, which no real
//! one does.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

/// As much as is said of what has no end: whoever has read that has no bound.
const VERY_LONG: usize = 512 << 20;

/// What the fake answers.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// The body goes on and on.
    pub(crate) goes_on: bool,
}

/// A fake API server, until the test ends.
pub(crate) struct FakeApi {
    port: u16,
    said: Arc<AtomicUsize>,
    folder: TempDir,
}

impl FakeApi {
    /// Answers each request as the rule says, by method and path with query.
    pub(crate) fn start(rule: impl Fn(&str) -> Reply + Send + Sync + 'static) -> FakeApi {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, said) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let (rule, counted) = (Arc::new(rule), Arc::clone(&said));
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let (rule, counted) = (Arc::clone(&rule), Arc::clone(&counted));
                // Whoever hangs up in the middle of an answer has had enough.
                std::thread::spawn(move || answer(connection, &*rule, &counted).unwrap_or_default());
            }
        });
        FakeApi { port, said, folder: tempfile::tempdir().unwrap() }
    }

    /// A kubeconfig of this server.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: c, cluster: {{server: \"http://127.0.0.1:{}\"}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: u, namespace: default}}}}]\n\
             users: [{{name: u, user: {{}}}}]\n",
            self.port
        );
        let path = self.folder.path().join("config");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// How many bytes it got rid of that go on and on, since this was asked last.
    pub(crate) fn said(&self) -> usize {
        self.said.swap(0, Ordering::SeqCst)
    }
}

fn answer(mut connection: TcpStream, rule: &dyn Fn(&str) -> Reply, said: &AtomicUsize) -> std::io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        connection.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8_lossy(&head);
    let Reply { status, body, goes_on } = rule(head.lines().next().unwrap_or_default());
    // Neither has a length: it ends with the connection.
    write!(connection, "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{body}")?;
    let part = [b'x'; 1 << 16];
    for _ in 0..(if goes_on { VERY_LONG / part.len() } else { 0 }) {
        connection.write_all(&part)?;
        said.fetch_add(part.len(), Ordering::SeqCst);
    }
    Ok(())
}
