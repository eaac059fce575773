//! `/proc`, read without allocating: its buffers are made at the start, because a command that is to be killed may have used up
//! a limit of memory by then. One descriptor at a time is opened and closed.

use std::ffi::CStr;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, RawDir, openat};
use rustix::io::Errno;
use rustix::process::Pid;

/// How much of a `stat` line is read, in bytes: a name of at most 64 and some numbers.
const LINE: usize = 1024;
/// How much of a list of children is read at a time, in bytes.
const LIST: usize = 16 << 10;
/// How much of a folder's names is read at a time, in bytes.
const NAMES: usize = 8 << 10;

/// The mounted `/proc`.
#[derive(Debug)]
pub(crate) struct Proc {
    root: OwnedFd,
    /// The open list of children of this process's main thread, which adopts orphans. It can be read when no descriptor is left.
    own: Option<OwnedFd>,
    list: Box<[u8; LIST]>,
    /// `None` while a folder is being read.
    names: Option<Box<[MaybeUninit<u8>; NAMES]>>,
}

/// What `/proc/PID/stat` says of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) comm: Comm,
    /// The process is a zombie: it has exited and was not reaped.
    pub(crate) has_exited: bool,
    pub(crate) parent: Option<Pid>,
    pub(crate) group: i32,
    pub(crate) session: i32,
    pub(crate) threads: u32,
}

/// A process's name as the kernel keeps it: its program's, cut off after 15 bytes. Shown without control characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comm {
    bytes: [u8; 15],
    length: u8,
}

impl Proc {
    /// Opens `/proc`. Fails where it is not mounted.
    pub(crate) fn open() -> io::Result<Proc> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open("/proc", flags, Mode::empty())?;
        let mut name = [0; 64];
        let pid = rustix::process::getpid().as_raw_nonzero();
        let own = path(&mut name, format_args!("{pid}/task/{pid}/children")).and_then(|name| open(&root, name)).ok();
        Ok(Proc { root, own, list: Box::new([0; LIST]), names: Some(Box::new([MaybeUninit::uninit(); NAMES])) })
    }

    /// The process's `stat`; `None` where there is no such process, or it cannot be read.
    pub(crate) fn stat(&self, pid: Pid) -> Option<Stat> {
        self.try_stat(pid).ok()
    }

    /// As [`Proc::stat`], with the error: [`Errno::MFILE`] (no descriptor left) says nothing of the process.
    pub(crate) fn try_stat(&self, pid: Pid) -> Result<Stat, Errno> {
        let mut name = [0; 64];
        let file = open(&self.root, path(&mut name, format_args!("{}/stat", pid.as_raw_nonzero()))?)?;
        let mut line = [0; LINE];
        let length = rustix::io::read(&file, &mut line)?;
        parse(&line[..length]).ok_or(Errno::SRCH)
    }

    /// Calls `each` with every child of a process. The kernel has a list for each thread; where it was built without those,
    /// every process is asked for its parent. Fails where no descriptor is left, unless `parent` is this process.
    pub(crate) fn children(&mut self, parent: Pid, mut each: impl FnMut(Pid)) -> Result<(), Errno> {
        let Some(stat) = self.stat(parent) else {
            return if parent == rustix::process::getpid() { self.own_children(each) } else { Ok(()) };
        };
        let first = self.children_of_thread(parent, parent, &mut each);
        match first {
            Err(Errno::NOENT) if self.stat(parent).is_some() => return self.search(parent, each),
            Err(Errno::MFILE | Errno::NFILE) if parent == rustix::process::getpid() => return self.own_children(each),
            _ if stat.threads > 1 => {}
            Err(Errno::NOENT | Errno::SRCH) | Ok(()) => return Ok(()),
            Err(error) => return Err(error),
        }
        let mut name = [0; 64];
        let tasks = path(&mut name, format_args!("{}/task", parent.as_raw_nonzero()))?;
        let tasks = openat(&self.root, tasks, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let Some(mut names) = self.names.take() else { return Ok(()) };
        let mut threads = RawDir::new(&tasks, names.as_mut_slice());
        while let Some(Ok(entry)) = threads.next() {
            if let Some(thread) = number(entry.file_name().to_bytes()).filter(|thread| *thread != parent) {
                let _ = self.children_of_thread(parent, thread, &mut each);
            }
        }
        self.names = Some(names);
        Ok(())
    }

    fn children_of_thread(&mut self, parent: Pid, thread: Pid, each: &mut impl FnMut(Pid)) -> Result<(), Errno> {
        let mut name = [0; 64];
        let (parent, thread) = (parent.as_raw_nonzero(), thread.as_raw_nonzero());
        let file = open(&self.root, path(&mut name, format_args!("{parent}/task/{thread}/children"))?)?;
        read_list(file.as_fd(), &mut self.list[..], each)
    }

    /// This process's own children, when no descriptor is left.
    fn own_children(&mut self, mut each: impl FnMut(Pid)) -> Result<(), Errno> {
        let own = self.own.as_ref().ok_or(Errno::MFILE)?;
        read_list(own.as_fd(), &mut self.list[..], &mut each)
    }

    /// Finds the children by asking every process for its parent.
    fn search(&mut self, parent: Pid, mut each: impl FnMut(Pid)) -> Result<(), Errno> {
        let all = openat(&self.root, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let Some(mut names) = self.names.take() else { return Ok(()) };
        let mut processes = RawDir::new(&all, names.as_mut_slice());
        while let Some(Ok(entry)) = processes.next() {
            let Some(pid) = number(entry.file_name().to_bytes()) else { continue };
            if self.stat(pid).is_some_and(|stat| stat.parent == Some(parent)) {
                each(pid);
            }
        }
        self.names = Some(names);
        Ok(())
    }
}

impl Comm {
    fn new(name: &[u8]) -> Comm {
        let mut comm = Comm::default();
        let length = name.len().min(comm.bytes.len());
        comm.bytes[..length].copy_from_slice(&name[..length]);
        // At most 15, so the cast loses nothing.
        comm.length = length as u8;
        comm
    }
}

impl std::fmt::Display for Comm {
    /// As it can be shown on a terminal, whatever the process calls itself.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |byte: u8| if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '?' };
        self.bytes[..usize::from(self.length)].iter().try_for_each(|byte| std::fmt::Write::write_char(f, shown(*byte)))
    }
}

/// A path below `/proc`, written into the buffer.
fn path<'a>(buffer: &'a mut [u8; 64], text: std::fmt::Arguments<'_>) -> Result<&'a CStr, Errno> {
    let mut rest = &mut buffer[..63];
    rest.write_fmt(text).map_err(|_| Errno::NAMETOOLONG)?;
    let left = rest.len();
    buffer[63 - left] = 0;
    CStr::from_bytes_until_nul(buffer).map_err(|_| Errno::INVAL)
}

fn open(root: &OwnedFd, path: &CStr) -> Result<OwnedFd, Errno> {
    openat(root, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Reads numbers that are separated by white space, from the file's beginning.
fn read_list(file: BorrowedFd<'_>, buffer: &mut [u8], each: &mut impl FnMut(Pid)) -> Result<(), Errno> {
    let mut offset = 0;
    // A number may begin in one read and end in the next.
    let mut value: Option<i32> = None;
    loop {
        let length = match rustix::io::pread(file, &mut *buffer, offset) {
            Ok(length) => length,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error),
        };
        offset += length as u64;
        for byte in &buffer[..length] {
            match byte {
                b'0'..=b'9' => {
                    value = Some(value.unwrap_or(0).saturating_mul(10).saturating_add(i32::from(byte - b'0')));
                }
                _ => value.take().and_then(Pid::from_raw).into_iter().for_each(&mut *each),
            }
        }
        if length == 0 {
            value.and_then(Pid::from_raw).into_iter().for_each(each);
            return Ok(());
        }
    }
}

fn parse(line: &[u8]) -> Option<Stat> {
    // The name stands in parentheses and may contain any byte; the state is the first field after it.
    let (begin, end) = (line.iter().position(|byte| *byte == b'(')?, line.iter().rposition(|byte| *byte == b')')?);
    let mut fields = std::str::from_utf8(&line[end + 1..]).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = number(fields.next()?.as_bytes());
    let (group, session) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    // The number of threads is the twentieth field of the line; six were read before.
    let threads = fields.nth(13)?.parse().ok()?;
    // The main thread of a process may exit before others do: then it looks like a zombie, and the process is alive.
    let has_exited = matches!(state, "Z" | "X") && threads <= 1;
    Some(Stat { comm: Comm::new(line.get(begin + 1..end)?), has_exited, parent, group, session, threads })
}

/// Calls `each` with the pids that a file lists.
pub(crate) fn read_pids(file: &OwnedFd, mut each: impl FnMut(Pid)) -> Result<(), Errno> {
    read_list(file.as_fd(), &mut [0; 4096], &mut each)
}

fn number(text: &[u8]) -> Option<Pid> {
    Pid::from_raw(std::str::from_utf8(text).ok()?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process_group::own_group;
    use rustix::process::{getpid, getppid};

    /// A process finds itself as the kernel knows it.
    #[test]
    fn a_process_finds_itself() {
        let proc = Proc::open().unwrap();
        let stat = proc.stat(getpid()).unwrap();
        assert!(!stat.has_exited && stat.threads >= 1);
        assert_eq!(stat.parent, getppid());
        assert_eq!(Pid::from_raw(stat.group), own_group());
        let session = nix::unistd::getsid(None).unwrap();
        assert_eq!(stat.session, session.as_raw());
        assert!(proc.stat(Pid::from_raw(i32::MAX).unwrap()).is_none());
    }

    /// Names may hold what separates fields, and are shown without what would move a cursor.
    #[test]
    fn odd_names_are_read() {
        let rest = "S 7 8 9 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 3 0 1";
        for (name, shown) in [("sh", "sh"), (") Z 1 (", ") Z 1 ("), ("a\x1b[2J", "a?[2J"), ("", "")] {
            let stat = parse(format!("4711 ({name}) {rest}").as_bytes()).unwrap();
            assert_eq!(stat.comm.to_string(), shown);
            assert_eq!((stat.parent, stat.group, stat.session, stat.threads), (Pid::from_raw(7), 8, 9, 3));
        }
        assert_eq!(parse(b"4711 (sh) S"), None);
        assert_eq!(parse(b""), None);
    }

    /// Numbers are read whole, wherever a piece ends.
    #[test]
    fn lists_are_read_in_pieces() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "1 22 333 4444 ").unwrap();
        for size in 1..20 {
            let mut found = Vec::new();
            let mut each = |pid: Pid| found.push(pid.as_raw_nonzero().get());
            read_list(file.as_file().as_fd(), &mut vec![0; size], &mut each).unwrap();
            assert_eq!(found, [1, 22, 333, 4444], "{size}");
        }
    }
}
