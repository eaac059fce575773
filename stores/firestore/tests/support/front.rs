//! A fake of Google's front: it gives out tokens as Google's token endpoint and metadata server do, takes only calls that
//! show one of them, and hands those on to an emulator. It can refuse, and cut answers.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// What the front does, and what it was asked.
#[derive(Default)]
pub(crate) struct State {
    /// How many tokens were given out; they are called `hunter2-1`, `hunter2-2` and so on.
    pub(crate) tokens: usize,
    /// How many seconds a token is said to be good for.
    pub(crate) expires_in: u64,
    /// Tokens up to this one are refused.
    pub(crate) revoked: usize,
    /// Takes a token that somebody else has signed, as long as it looks like one.
    pub(crate) takes_signed: bool,
    /// Takes what an emulator is shown.
    pub(crate) takes_owner: bool,
    /// What is answered to each call in place of the emulator's answer: the status line's rest, and the body.
    pub(crate) answer: Option<(&'static str, String)>,
    /// After so many bytes the connection is closed in the middle of an answer.
    pub(crate) cut_after: Option<usize>,
    /// How long each call waits before it is handed on.
    pub(crate) delay: Duration,
    /// Every request: its path, and its header `authorization`.
    pub(crate) calls: Vec<(String, String)>,
    /// How many bytes the largest body of a request had.
    pub(crate) largest: usize,
    /// The bodies and queries of requests for tokens.
    pub(crate) asked_for_tokens: Vec<String>,
    /// The headers `x-goog-user-project`.
    pub(crate) quota_projects: Vec<String>,
}

pub(crate) struct Front {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

impl Front {
    /// A front before the emulator on this port.
    pub(crate) fn before(emulator: u16) -> Front {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { expires_in: 3_600, ..State::default() }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(stream, emulator, &shared));
            }
        });
        Front { port, state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How many calls reached the front whose path ends so.
    pub(crate) fn calls_of(&self, method: &str) -> usize {
        self.state().calls.iter().filter(|(path, _)| path.ends_with(method)).count()
    }
}

/// One request for each connection.
fn serve(mut stream: TcpStream, emulator: u16, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut authorization, mut length, mut quota) = (String::new(), 0, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => value.clone_into(&mut authorization),
            "content-length" => length = value.parse().ok()?,
            "x-goog-user-project" => quota = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let answer = answer(&path, &authorization, quota, &body, emulator, state)?;
    let cut = state.lock().unwrap().cut_after.unwrap_or(answer.len());
    stream.write_all(&answer[..cut.min(answer.len())]).ok()
}

fn answer(
    path: &str,
    authorization: &str,
    quota: Option<String>,
    body: &[u8],
    emulator: u16,
    state: &Mutex<State>,
) -> Option<Vec<u8>> {
    let mut told = state.lock().unwrap();
    if path.starts_with("/token") || path.contains("/service-accounts/default/token") {
        told.tokens += 1;
        told.asked_for_tokens.push(format!("{path} {}", String::from_utf8_lossy(body)));
        let (token, seconds) = (told.tokens, told.expires_in);
        let text =
            format!("{{\"access_token\":\"hunter2-{token}\",\"expires_in\":{seconds},\"token_type\":\"Bearer\"}}");
        return Some(response("200 OK", &text));
    }
    told.largest = told.largest.max(body.len());
    told.calls.push((path.to_owned(), authorization.to_owned()));
    told.quota_projects.extend(quota);
    let number = authorization.strip_prefix("Bearer hunter2-").and_then(|number| number.parse::<usize>().ok());
    let is_good = match number {
        Some(number) => (told.revoked + 1..=told.tokens).contains(&number),
        None if authorization == "Bearer owner" => told.takes_owner,
        None => told.takes_signed && authorization.split('.').count() == 3,
    };
    if !is_good {
        let text = r#"{"error":{"code":401,"message":"Request had invalid authentication credentials.","status":"UNAUTHENTICATED"}}"#;
        return Some(response("401 Unauthorized", text));
    }
    if let Some((status, text)) = &told.answer {
        return Some(response(status, text));
    }
    let delay = told.delay;
    drop(told);
    thread::sleep(delay);
    let mut to = TcpStream::connect(("127.0.0.1", emulator)).ok()?;
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer owner\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    to.write_all(head.as_bytes()).ok()?;
    to.write_all(body).ok()?;
    // An emulator keeps its connection open whatever it is told.
    let mut from = BufReader::new(to);
    let (mut status, mut length) = (String::new(), 0);
    from.read_line(&mut status).ok()?;
    loop {
        let mut header = String::new();
        from.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    Some(response(status.trim_end().split_once(' ')?.1, std::str::from_utf8(&body).ok()?))
}

fn response(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nmetadata-flavor: Google\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
