//! A way to a server that can hold everything back, lose an answer, or tell of no notification.
#![allow(dead_code, reason = "not every test needs all of it")]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What becomes of what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It passes.
    Pass,
    /// It is held back, and nobody is told.
    Hold,
    /// Questions pass; the connection ends in place of the answer.
    LoseAnswers,
    /// All passes but notifications, as where a pooler lends the connection that listens to others.
    NoNotifications,
}

pub(crate) struct Proxy {
    port: u16,
    mode: watch::Sender<Mode>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    pub(crate) async fn to(server: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mode, told) = watch::channel(Mode::Pass);
        let accepting = tokio::spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let told = told.clone();
                carried.spawn(async move {
                    let Ok(far) = TcpStream::connect(("127.0.0.1", server)).await else { return };
                    let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
                    tokio::select! {
                        () = questions(from_near, to_far, told.clone()) => {}
                        () = answers(from_far, to_near, told) => {}
                    }
                });
            }
        });
        Proxy { port, mode, accepting }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }
}

async fn passes(told: &mut watch::Receiver<Mode>) -> Option<Mode> {
    told.wait_for(|mode| *mode != Mode::Hold).await.ok().map(|mode| *mode)
}

async fn questions(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut told: watch::Receiver<Mode>) {
    let mut bytes = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if passes(&mut told).await.is_none() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// Message by message: a letter, and the length of what follows with itself.
async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut told: watch::Receiver<Mode>) {
    let mut head = [0; 5];
    while from.read_exact(&mut head).await.is_ok() {
        let rest = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) - 4;
        let mut body = vec![0; usize::try_from(rest).unwrap()];
        if from.read_exact(&mut body).await.is_err() {
            return;
        }
        match passes(&mut told).await {
            Some(Mode::NoNotifications) if head[0] == b'A' => continue,
            None | Some(Mode::LoseAnswers) => return,
            _ => {}
        }
        if to.write_all(&head).await.is_err() || to.write_all(&body).await.is_err() {
            return;
        }
    }
}
