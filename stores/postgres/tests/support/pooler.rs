//! A fake pooler of transactions: it lends a few connections to many clients, for one statement or transaction at a time, and
//! never the same one twice in a row. It sets nothing back, and tells nobody of notifications.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::{JoinHandle, JoinSet};

pub(crate) struct FakePooler {
    port: u16,
    accepting: JoinHandle<()>,
}

impl Drop for FakePooler {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Pool {
    idle: Mutex<VecDeque<TcpStream>>,
    count: Semaphore,
}

impl FakePooler {
    /// Before the server on this port, with so many connections.
    pub(crate) async fn to(server: u16, connections: usize) -> FakePooler {
        let mut idle = VecDeque::new();
        for _ in 0..connections {
            let mut far = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            let words = b"user\0postgres\0database\0postgres\0application_name\0pooler\0\0";
            far.write_u32(u32::try_from(words.len() + 8).unwrap()).await.unwrap();
            far.write_u32(196_608).await.unwrap();
            far.write_all(words).await.unwrap();
            answer(&mut far).await.unwrap();
            idle.push_back(far);
        }
        let pool = Arc::new(Pool { idle: Mutex::new(idle), count: Semaphore::new(connections) });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepting = tokio::spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let pool = Arc::clone(&pool);
                carried.spawn(async move { drop(serve(near, &pool).await) });
            }
        });
        FakePooler { port, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }
}

async fn serve(mut near: TcpStream, pool: &Pool) -> std::io::Result<()> {
    let length = near.read_u32().await?;
    let mut start = vec![0; usize::try_from(length).unwrap() - 4];
    near.read_exact(&mut start).await?;
    if start[..4] != 196_608_u32.to_be_bytes() {
        // A request to cancel something.
        return Ok(());
    }
    // Welcome, a number to cancel by, and ready.
    near.write_all(b"R\0\0\0\x08\0\0\0\0K\0\0\0\x0c\0\0\0\x01\0\0\0\x01Z\0\0\0\x05I").await?;
    loop {
        let Some(asked) = question(&mut near).await? else { return Ok(()) };
        let _permit = pool.count.acquire().await.unwrap();
        let mut far = pool.idle.lock().await.pop_front().unwrap();
        far.write_all(&asked).await?;
        loop {
            let (answered, state) = answer(&mut far).await?;
            near.write_all(&answered).await?;
            if state == b'I' {
                break;
            }
            let Some(asked) = question(&mut near).await? else { return Ok(()) };
            far.write_all(&asked).await?;
        }
        pool.idle.lock().await.push_back(far);
    }
}

async fn message(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; 5];
    from.read_exact(&mut bytes).await?;
    let length = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
    bytes.resize(usize::try_from(length).unwrap() + 1, 0);
    from.read_exact(&mut bytes[5..]).await?;
    Ok(bytes)
}

/// All up to what wants an answer; `None` where the client takes its leave.
async fn question(near: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut asked = Vec::new();
    loop {
        let message = message(near).await?;
        asked.extend(&message);
        match message[0] {
            b'S' | b'Q' => return Ok(Some(asked)),
            b'X' => return Ok(None),
            _ => {}
        }
    }
}

/// All up to the word that it is ready, without notifications; and the state of its transaction.
async fn answer(far: &mut TcpStream) -> std::io::Result<(Vec<u8>, u8)> {
    let mut answered = Vec::new();
    loop {
        let message = message(far).await?;
        if message[0] != b'A' {
            answered.extend(&message);
        }
        if message[0] == b'Z' {
            return Ok((answered, message[5]));
        }
    }
}
