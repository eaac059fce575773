//! Another user, whom limits bind and whose rights are fewer; and a kernel without handles for processes.

use std::path::{Path, PathBuf};
use std::process::Command;

/// So many processes that user may have.
const PROCESSES: &str = "--nproc=120:120";
/// Refuses `pidfd_open` and `pidfd_send_signal`, for perl, and becomes its arguments.
const WITHOUT_HANDLES: &str = r#"
    my %prctl = (x86_64 => 157, aarch64 => 167);
    my $call = $prctl{(split " ", `uname -m`)[0]} or die "no number for prctl";
    my $op = sub { pack "SCCL", @_ };
    my $filter = $op->(0x20, 0, 0, 0) . $op->(0x15, 2, 0, 434) . $op->(0x15, 1, 0, 424)
        . $op->(0x06, 0, 0, 0x7fff0000) . $op->(0x06, 0, 0, 0x00050001);
    my $program = pack "S x6 P", length($filter) / 8, $filter;
    syscall($call, 38, 1, 0, 0, 0) == 0 or die "no_new_privs: $!";
    syscall($call, 22, 2, $program, 0, 0) == 0 or die "seccomp: $!";
    exec @ARGV or die "exec: $!";
"#;

/// Whether this process may become another user; says so where it may not.
pub(crate) fn may_be_another(suite: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("SKIPPED: {suite}: limits and rights of another user: run the tests as root");
    }
    root
}

/// A user for one folder, with copies of what it runs there.
pub(crate) struct User {
    number: String,
    folder: PathBuf,
}

impl User {
    /// Opens the folder to that user.
    pub(crate) fn new(folder: &Path) -> std::io::Result<User> {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777))?;
        // One for each folder, so that limits of rounds that are played together bind each for itself.
        let number = 60_000 + std::fs::metadata(folder)?.ino() % 5_000;
        let user = User { number: number.to_string(), folder: folder.to_owned() };
        let copies = [
            ("tenure", PathBuf::from(env!("CARGO_BIN_EXE_tenure")), 0o755),
            ("writer", std::env::current_exe()?, 0o755),
            ("setuid", PathBuf::from("/usr/bin/setpriv"), 0o4755),
        ];
        for (name, from, mode) in copies {
            let to = user.program(name);
            std::fs::copy(from, &to)?;
            std::fs::set_permissions(to, std::fs::Permissions::from_mode(mode))?;
        }
        Ok(user)
    }

    /// A program of its folder.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What runs `tenure` as this user, with a limit on its processes or without handles for them.
    pub(crate) fn command(&self, limited: bool, without_handles: bool) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &self.number, "--regid", &self.number, "--clear-groups"]);
        if limited {
            command.args(["prlimit", PROCESSES]);
        }
        if without_handles {
            command.args(["perl", "-e", WITHOUT_HANDLES]);
        }
        command.arg(self.program("tenure")).env("TMPDIR", &self.folder).env_remove("XDG_RUNTIME_DIR");
        command
    }

    /// Kills whatever this user runs.
    pub(crate) fn end(&self) {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &self.number, "--regid", &self.number, "--clear-groups"]);
        let _ = command.args(["perl", "-e", "kill 9, -1"]).status();
    }
}
