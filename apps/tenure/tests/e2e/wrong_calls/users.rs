//! A file that two users share through their group, and one that they do not.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::files::{is_public, is_root};
use super::sqlite;
use crate::fleet::until;
use crate::operators::{Ran, ran};

const ANNA: u32 = 64_001;
const BERT: u32 = 64_002;
const GROUP: u32 = 64_100;

/// A folder that belongs to the group, and a binary that everybody may run.
struct Place {
    folder: TempDir,
    binary: PathBuf,
}

impl Place {
    /// `None` where this is not root, which alone can be two users.
    fn new(test: &str, mode: u32) -> Option<Place> {
        if !is_root() || Command::new("setpriv").arg("--version").output().is_err() {
            println!("SKIPPED: wrong calls: {test}: needs root and setpriv");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut binary = PathBuf::from(env!("CARGO_BIN_EXE_tenure"));
        if !is_public(&binary) {
            binary = folder.path().join("tenure");
            std::fs::copy(env!("CARGO_BIN_EXE_tenure"), &binary).unwrap();
        }
        let place = Place { folder, binary };
        std::fs::create_dir(place.shared()).unwrap();
        chown(place.shared(), Some(ANNA), Some(GROUP)).unwrap();
        std::fs::set_permissions(place.shared(), std::fs::Permissions::from_mode(mode)).unwrap();
        Some(place)
    }

    fn shared(&self) -> PathBuf {
        self.folder.path().join("shared")
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.shared().join(format!("leases.db{suffix}"))
    }

    /// `tenure` as this user, who is in the group, with the usual umask.
    fn tenure(&self, user: u32, args: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        let (own, group) = (user.to_string(), GROUP.to_string());
        command.args([
            "--reuid",
            &own,
            "--regid",
            &own,
            "--groups",
            &group,
            "sh",
            "-c",
            "umask 022; exec \"$@\"",
            "sh",
        ]);
        command.arg(&self.binary).args(&args[..1]).args(["--store", &sqlite(&self.file(""))]).args(&args[1..]);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("TMPDIR", "/tmp");
        command.stdin(Stdio::null());
        command
    }

    fn lock(&self, user: u32) -> Ran {
        ran(&mut self.tenure(user, &["run", "--lease", "short", "--no-wait", "--ttl", "3s", "--", "true"]))
    }
}

/// In a folder that hands its group on, two users hold, wait for and hand over one lease, whoever has made the file, its log
/// and the index, and whoever was killed.
#[tokio::test]
async fn two_users_share_a_file_in_a_folder_of_their_group() {
    let Some(place) = Place::new("two_users_share_a_file_in_a_folder_of_their_group", 0o2770) else { return };
    let work = ["run", "--lease", "k", "--ttl", "2s", "--", "sleep", "600"];
    let start = |user| place.tenure(user, &work).stderr(Stdio::null()).spawn().unwrap();
    let held_by = |leases: &Ran| leases.out.lines().any(|line| line.starts_with("k "));
    let mut anna = start(ANNA);
    until("anna holds it", async || held_by(&ran(&mut place.tenure(BERT, &["leases"])))).await;
    for suffix in ["", "-wal", "-shm"] {
        let found = place.file(suffix).metadata().unwrap();
        let rights = (found.mode() & 0o777, found.uid(), found.gid());
        assert_eq!(rights, (0o664, ANNA, GROUP), "{suffix}: {:o}", rights.0);
    }
    let mut bert = start(BERT);
    let owner = |child: &Child| child.id();
    for (first, second) in [(true, ANNA), (false, BERT)] {
        let victim = if first { &mut anna } else { &mut bert };
        let killed = rustix::process::Pid::from_raw(owner(victim).cast_signed()).unwrap();
        rustix::process::kill_process(killed, rustix::process::Signal::KILL).unwrap();
        victim.wait().unwrap();
        let survivor = if first { BERT } else { ANNA };
        until("the other user holds it", async || held_by(&ran(&mut place.tenure(survivor, &["leases"])))).await;
        *victim = start(second);
    }
    // Also the one who comes when nobody has it open, and made none of the files.
    for child in [&mut anna, &mut bert] {
        let ended = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
        rustix::process::kill_process(ended, rustix::process::Signal::TERM).unwrap();
        child.wait().unwrap();
    }
    for user in [BERT, ANNA, BERT] {
        let ran = place.lock(user);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    }
}

/// Who may not write the file is told whose it is and what mends it; that does.
#[test]
fn who_may_not_write_is_told_why() {
    let Some(place) = Place::new("who_may_not_write_is_told_why", 0o755) else { return };
    assert_eq!(place.lock(ANNA).code, Some(0));
    let line = |path: &Path, mode: &str| {
        let group = path.metadata().unwrap().gid();
        format!(
            "tenure: the store {}: {} belongs to uid {ANNA} and gid {group} with mode {mode}, and uid {BERT} may not write it; let it, \
             with `chmod g+rw` (a folder: `chmod g+rwxs`) where a group shares it\n",
            sqlite(&place.file("")),
            path.display()
        )
    };
    let refused = place.lock(BERT);
    assert_eq!((refused.code, refused.err), (Some(69), line(&place.file(""), "644")));
    // What it says, one after the other.
    chown(place.file(""), None, Some(GROUP)).unwrap();
    std::fs::set_permissions(place.file(""), std::fs::Permissions::from_mode(0o664)).unwrap();
    let refused = place.lock(BERT);
    assert_eq!((refused.code, refused.err), (Some(69), line(&place.shared(), "755")));
    std::fs::set_permissions(place.shared(), std::fs::Permissions::from_mode(0o2775)).unwrap();
    for user in [BERT, ANNA, BERT] {
        let ran = place.lock(user);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    }
}
