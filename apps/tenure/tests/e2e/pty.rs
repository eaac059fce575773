//! A pseudo-terminal with a program on it, and somebody who types and reads.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// The terminal. Dropping it kills the program.
pub(crate) struct Pty {
    pub(crate) child: Child,
    keys: std::fs::File,
    screen: Arc<Mutex<String>>,
}

impl Pty {
    /// Starts the program on a dumb terminal of its own.
    pub(crate) fn start(program: &Command) -> Pty {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keys).unwrap();
        unlockpt(&keys).unwrap();
        let name = ptsname(&keys, Vec::new()).unwrap();
        let terminal = || -> OwnedFd {
            rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap()
        };
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(program.get_program()).args(program.get_args()).env("TERM", "dumb");
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::from(terminal())).stdout(Stdio::from(terminal())).stderr(Stdio::from(terminal()));
        let child = command.spawn().unwrap();
        let screen = Arc::new(Mutex::new(String::new()));
        let mut output = std::fs::File::from(rustix::io::fcntl_dupfd_cloexec(&keys, 3).unwrap());
        let seen = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                let mut screen = seen.lock().unwrap();
                for shown in String::from_utf8_lossy(&buffer[..count]).chars() {
                    match shown {
                        '\u{8}' => {
                            screen.pop();
                        }
                        shown => screen.push(shown),
                    }
                }
            }
        });
        Pty { child, keys: std::fs::File::from(keys), screen }
    }

    pub(crate) fn types(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn screen(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    /// Waits until the screen shows this, and forgets everything up to it.
    pub(crate) fn sees(&mut self, text: &str) {
        let give_up = tokio::time::Instant::now() + crate::fleet::DEADLINE;
        loop {
            {
                let mut screen = self.screen.lock().unwrap();
                if let Some(at) = screen.find(text) {
                    screen.drain(..at + text.len());
                    return;
                }
            }
            assert!(tokio::time::Instant::now() < give_up, "{text:?} not on the screen: {:?}", self.screen());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
