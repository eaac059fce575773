//! A program as somebody in a terminal sees it: started, read line by line, and sent signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The longest that anything may take here.
const DEADLINE: Duration = Duration::from_secs(40);

/// A running program, and what it has printed so far. Dropping it kills it.
pub(crate) struct Terminal {
    child: Child,
    output: Arc<Mutex<String>>,
}

impl Terminal {
    pub(crate) fn open(program: &str, args: &[&str], more: &[&str]) -> Terminal {
        let mut command = Command::new(program);
        command.args(args).args(more).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        // What this machine's user has set is not what the reader of an example has.
        for name in ["TENURE_STORE", "Redis__ConnectionString", "POD_NAME", "POD_NAMESPACE"] {
            command.env_remove(name);
        }
        let mut child = command.spawn().unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        let (lines, shown) = (BufReader::new(child.stdout.take().unwrap()).lines(), Arc::clone(&output));
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut shown = shown.lock().unwrap();
                shown.push_str(&line);
                shown.push('\n');
            }
        });
        Terminal { child, output }
    }

    pub(crate) fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// Waits until `text` was printed; answers what follows it on its line.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let mut rest = None;
        until(&format!("{text:?} in the output of {}", self.child.id()), || {
            let output = self.output();
            rest = output.lines().find_map(|line| Some(line.split_once(text)?.1.to_owned()));
            rest.is_some()
        });
        rest.unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(), signal).unwrap();
    }

    /// Asks it to end, and waits for it.
    pub(crate) fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        let mut status = None;
        until("the end of the process", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- process {} printed:\n{}", self.child.id(), self.output());
        }
    }
}

/// Waits until `condition` holds; panics with `what` where it does not in time.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let mut waited = Duration::ZERO;
    while !condition() {
        assert!(waited < DEADLINE, "{what}: not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(20));
        waited += Duration::from_millis(20);
    }
}

/// `GET path` at an `http://` address: the status code and the body.
pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    let (status, answer) = ask(address, path);
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// The same, with the head of the answer in place of its body.
pub(crate) fn head(address: &str, path: &str) -> (u16, String) {
    let (status, answer) = ask(address, path);
    (status, answer.split_once("\r\n\r\n").map(|(head, _)| head.to_owned()).unwrap_or_default())
}

fn ask(address: &str, path: &str) -> (u16, String) {
    let host = address.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap();
    (status, answer)
}
