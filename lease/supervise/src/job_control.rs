//! Job control: a command is stopped and continued together with this process, and has the terminal while it runs, as if it were the
//! shell's own job.

use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group};

use crate::descendants::parent_of;
use crate::process_group::{group_of, is_in_own_session, own_group};
use crate::terminal::Terminal;

/// The job control of one command, which may be the child of another process.
#[derive(Debug)]
pub struct JobControl<'a> {
    terminal: Option<&'a Terminal>,
    /// The command's process group, once it was started.
    command: Option<Pid>,
    /// Whether the command has the terminal while it runs.
    foreground: bool,
    /// This process was asked to stop together with its command (SIGTSTP).
    suspend_requested: bool,
}

impl JobControl<'_> {
    /// For a command that is about to start.
    pub fn new(terminal: Option<&Terminal>) -> JobControl<'_> {
        let foreground = terminal.is_some_and(Terminal::is_for_the_command);
        JobControl { terminal, command: None, foreground, suspend_requested: false }
    }

    /// Whether the command has the terminal while it runs.
    pub fn is_foreground(&self) -> bool {
        self.foreground
    }

    /// Whether the terminal is this process's group's, which the command does not belong to.
    pub fn has_terminal(&self) -> bool {
        self.terminal.is_some_and(Terminal::is_ours)
    }

    /// The command was started.
    pub fn started(&mut self, command: Option<Pid>) {
        self.command = command;
    }

    /// This process was asked to stop together with its command.
    pub fn request_suspend(&mut self) {
        self.suspend_requested = true;
    }

    /// The command was stopped by this signal. Stops this process too, so that the shell sees a stopped job; returns once it was
    /// continued. Returns true where the command must be continued at once instead.
    pub fn suspended(&mut self, signal: i32) -> bool {
        let Some(command) = self.command else { return false };
        let was_requested = std::mem::take(&mut self.suspend_requested);
        match self.terminal {
            Some(terminal) => {
                let wants_terminal = signal == Signal::TTIN.as_raw() || signal == Signal::TTOU.as_raw();
                if wants_terminal && terminal.is_ours() {
                    // A command that was started in the background turns out to need the terminal.
                    self.foreground = true;
                    return true;
                }
                if !was_requested && !can_be_continued() {
                    // As the kernel does in an orphaned process group, where no shell could ever continue a job.
                    return true;
                }
                if terminal.is_of(command) {
                    terminal.take();
                    if let Some(group) = own_group().filter(|group| *group != getpid()) {
                        // Ctrl-Z would have stopped the whole group.
                        let _ = kill_process_group(group, Signal::TSTP);
                    }
                }
            }
            // Somebody stopped the command alone, on purpose.
            None if !was_requested => return false,
            None => {}
        }
        // SIGCONT wakes this process, and is then received as a signal like any other.
        let _ = kill_process(getpid(), Signal::STOP);
        false
    }

    /// The command is about to be continued.
    pub fn resume(&mut self) {
        self.suspend_requested = false;
        if let (Some(terminal), Some(command)) = (self.terminal, self.command)
            && self.foreground
            && terminal.is_ours()
        {
            terminal.give_to(command);
        }
    }

    /// Takes the terminal back from a command that has ended.
    pub fn take_terminal(&self) {
        if let (Some(terminal), Some(command)) = (self.terminal, self.command) {
            terminal.take_from(command);
        }
    }
}

/// Whether a shell in this session could continue this process's group. Where there is none, stopping would be for ever.
fn can_be_continued() -> bool {
    let Some(leader) = own_group() else { return false };
    let parent = parent_of(leader);
    parent.is_some_and(|parent| is_in_own_session(parent) && group_of(parent) != Some(leader))
}
