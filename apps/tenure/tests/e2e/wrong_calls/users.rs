//! A file that two users share through their group, and one that they do not.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::files::{is_public, is_root};
use super::{Running, sqlite};
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
    let start = |user| Running::start(place.tenure(user, &work).stderr(Stdio::null()));
    let held_by = |leases: &Ran| leases.out.lines().any(|line| line.starts_with("k "));
    let mut anna = start(ANNA);
    until("anna holds it", async || held_by(&ran(&mut place.tenure(BERT, &["leases"])))).await;
    for suffix in ["", "-wal", "-shm"] {
        let found = place.file(suffix).metadata().unwrap();
        let rights = (found.mode() & 0o777, found.uid(), found.gid());
        assert_eq!(rights, (0o664, ANNA, GROUP), "{suffix}: {:o}", rights.0);
    }
    let mut bert = start(BERT);
    for (victim, survivor) in [(ANNA, BERT), (BERT, ANNA)] {
        let killed = if victim == ANNA { &mut anna } else { &mut bert };
        killed.signal(rustix::process::Signal::KILL);
        killed.0.wait().unwrap();
        until("the other user holds it", async || held_by(&ran(&mut place.tenure(survivor, &["leases"])))).await;
        *killed = start(victim);
    }
    // Also the one who comes when nobody has it open, and made none of the files.
    anna.end();
    bert.end();
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
    // What the line says is done, for one path after the other, until there is nothing more to say.
    let mut named = Vec::new();
    loop {
        let Ran { code, err, .. } = place.lock(BERT);
        if code == Some(0) {
            break;
        }
        let path = [place.file(""), place.file("-wal"), place.file("-shm"), place.shared()];
        let path = path.into_iter().find(|path| err.contains(&format!(": {} belongs to ", path.display()))).unwrap();
        let found = path.metadata().unwrap();
        let line = format!(
            "tenure: the store {}: {} belongs to uid {ANNA} and gid {} with mode {:o}, and uid {BERT} may not write it; let it, with \
             `chmod g+rw` (a folder: `chmod g+rwxs`) where a group shares it\n",
            sqlite(&place.file("")),
            path.display(),
            found.gid(),
            found.mode() & 0o7777
        );
        assert_eq!((code, err), (Some(69), line));
        chown(&path, None, Some(GROUP)).unwrap();
        let more = if path.is_dir() { 0o2070 } else { 0o060 };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(found.mode() & 0o7777 | more)).unwrap();
        assert!(!named.contains(&path), "{path:?} is named twice");
        named.push(path);
    }
    assert_eq!(named.first(), Some(&place.file("")), "{named:?}");
    for user in [BERT, ANNA, BERT] {
        let ran = place.lock(user);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    }
}
