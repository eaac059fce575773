//! Refuses files that two machines, or two containers, would see differently: network file systems and lone file
//! mounts. SQLite's locks and its shared memory only work where all openers share one kernel and one folder.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::failure::{FileError, FileErrorKind};

/// What is mounted where, as this process sees it now.
pub(crate) struct Mounts {
    // As in /proc/self/mountinfo; where there is no /proc the magic numbers alone decide.
    info: Vec<u8>,
}

impl Mounts {
    /// Asks the kernel.
    pub(crate) fn read() -> Mounts {
        Mounts { info: std::fs::read("/proc/self/mountinfo").unwrap_or_default() }
    }

    /// Looks at the file system that the file or folder, a path without symlinks, is on.
    pub(crate) fn check_file_system(&self, shown: &dyn Display, path: &Path) -> Result<(), FileError> {
        match refusal(magic(path), fs_type(&self.info, path).as_deref()) {
            Some(reason) => Err(FileError::at(
                shown,
                FileErrorKind::Unsafe,
                format_args!("{reason}; put the file on a local disk, or use a server in its place"),
            )),
            None => Ok(()),
        }
    }

    /// The same of a file, and whether it is mounted alone.
    pub(crate) fn check_file(&self, shown: &dyn Display, path: &Path) -> Result<(), FileError> {
        self.check_file_system(shown, path)?;
        if is_mount_root(path).unwrap_or(false) || is_mount_point(&self.info, path) {
            return Err(FileError::at(
                shown,
                FileErrorKind::Unsafe,
                format_args!(
                    "{} is mounted as a single file, so what SQLite keeps beside the database, -wal and -shm, would not \
                     be shared; mount its folder",
                    path.display()
                ),
            ));
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn magic(path: &Path) -> Option<u64> {
    // The field is signed on some machines; the numbers have 32 bits.
    rustix::fs::statfs(path).ok().map(|stat| u64::from(stat.f_type as u32))
}

#[cfg(not(target_os = "linux"))]
fn magic(_: &Path) -> Option<u64> {
    None
}

/// Whether something is mounted right at the path; `None` where the kernel does not tell (before Linux 5.8).
#[cfg(target_os = "linux")]
fn is_mount_root(path: &Path) -> Option<bool> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

    let found = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()).ok()?;
    let told = found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
    told.then(|| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(not(target_os = "linux"))]
fn is_mount_root(_: &Path) -> Option<bool> {
    None
}

/// File systems on other machines (or outside this kernel), by the magic numbers of statfs(2).
const REMOTE_MAGIC: &[(u64, &str)] = &[
    (0x0000_6969, "nfs"),
    (0x0000_517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "ceph"),
    (0x0bd0_0bd0, "lustre"),
    (0x5346_414f, "afs"),
    (0x6b41_4653, "afs"),
    (0x7375_7245, "coda"),
    (0x0000_564c, "ncpfs"),
    (0x0116_1970, "gfs2"),
    (0x7461_636f, "ocfs2"),
    (0x4750_4653, "gpfs"),
    (0x1983_0326, "beegfs"),
    (0x2003_0528, "pvfs2"),
    (0x786f_4256, "vboxsf"),
    (0xbacb_acbc, "vmhgfs"),
];
const FUSE_MAGIC: u64 = 0x6573_5546;

/// The same by the names of mountinfo(5), for those that show another magic number.
const REMOTE_TYPES: &[&str] = &[
    "nfs",
    "nfs4",
    "smb3",
    "smbfs",
    "cifs",
    "9p",
    "ceph",
    "lustre",
    "afs",
    "coda",
    "ncpfs",
    "gfs2",
    "ocfs2",
    "gpfs",
    "beegfs",
    "pvfs2",
    "orangefs",
    "virtiofs",
    "vboxsf",
    "vmhgfs",
    "prl_fs",
    "glusterfs",
    "acfs",
];

/// File systems in user space that are known to be local; every other one may be anywhere.
const LOCAL_FUSE: &[&str] = &[
    "fuseblk",
    "fuse.fuse-overlayfs",
    "fuse.ntfs-3g",
    "fuse.exfat",
    "fuse.ext2",
    "fuse.ext4",
    "fuse.bindfs",
    "fuse.gocryptfs",
    "fuse.encfs",
    "fuse.zfs",
    "fuse.lxcfs",
];

/// Why a file system is refused, from its magic number and its type's name, as far as each is known.
fn refusal(magic: Option<u64>, fs_type: Option<&str>) -> Option<String> {
    let remote =
        |name: &str| Some(format!("{name} is a network or shared file system, on which SQLite's locks do not hold"));
    if let Some((_, name)) = REMOTE_MAGIC.iter().find(|(number, _)| Some(*number) == magic) {
        return remote(name);
    }
    match fs_type {
        Some(name) if REMOTE_TYPES.contains(&name) => remote(name),
        Some(name) if name.starts_with("fuse") && LOCAL_FUSE.contains(&name) => None,
        Some(name) if name.starts_with("fuse") || magic == Some(FUSE_MAGIC) => {
            Some(format!("{name} is a file system in user space that may be on a network"))
        }
        None if magic == Some(FUSE_MAGIC) => Some("a file system in user space may be on a network".to_owned()),
        _ => None,
    }
}

/// The type of the file system that `path` is on: of the mount with the longest matching mount point, the last one
/// where several cover each other.
fn fs_type<'a>(mountinfo: &'a [u8], path: &Path) -> Option<Cow<'a, str>> {
    let mut best: Option<(usize, &[u8])> = None;
    for (point, fs_type) in mounts(mountinfo) {
        let length = point.len();
        if path.starts_with(OsStr::from_bytes(&point)) && best.is_none_or(|(longest, _)| length >= longest) {
            best = Some((length, fs_type));
        }
    }
    best.map(|(_, fs_type)| String::from_utf8_lossy(fs_type))
}

fn is_mount_point(mountinfo: &[u8], path: &Path) -> bool {
    mounts(mountinfo).any(|(point, _)| point == path.as_os_str().as_bytes())
}

/// Mount points and types: the fifth word, and the first after the lone hyphen; see proc_pid_mountinfo(5). They are
/// bytes: one mount point somewhere that is not UTF-8 must not hide the others.
fn mounts(mountinfo: &[u8]) -> impl Iterator<Item = (Vec<u8>, &[u8])> {
    mountinfo.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut words = line.split(|byte| *byte == b' ');
        let point = words.nth(4)?;
        words.find(|word| *word == b"-")?;
        Some((unescape(point), words.next()?))
    })
}

/// Spaces, tabs, line feeds and backslashes are written as a backslash and three octal digits.
fn unescape(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| *first == b'\\') {
            Some(code) => {
                out.push(code);
                rest = &after[3..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Network file systems are refused by number and by name; unknown ones in user space too; local ones pass.
    #[test]
    fn network_file_systems_are_refused() {
        for (magic, name) in [(0x6969, "nfs4"), (0xff53_4d42, "cifs"), (0x0102_1997, "9p"), (0x0bd0_0bd0, "lustre")] {
            assert!(refusal(Some(magic), None).is_some(), "{name} by number");
            assert!(refusal(None, Some(name)).is_some(), "{name} by name");
        }
        for name in ["virtiofs", "fuse.sshfs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.new", "fuse"] {
            assert!(refusal(Some(FUSE_MAGIC), Some(name)).is_some(), "{name}");
        }
        assert!(refusal(Some(FUSE_MAGIC), None).is_some());
        for (magic, name) in
            [(0xef53, "ext4"), (0x9123_683e, "btrfs"), (0x0102_1994, "tmpfs"), (0x794c_7630, "overlay")]
        {
            assert_eq!(refusal(Some(magic), Some(name)), None, "{name}");
        }
        assert_eq!(refusal(Some(FUSE_MAGIC), Some("fuse.fuse-overlayfs")), None);
        assert_eq!(refusal(Some(FUSE_MAGIC), Some("fuseblk")), None);
        assert_eq!(refusal(None, None), None);
    }

    const MOUNTS: &[u8] = b"\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:39 / /mnt/\xff rw - tmpfs tmpfs rw
30 22 0:40 / /mnt/my\\040share rw shared:1 master:2 - nfs4 server:/x rw
31 22 0:41 / /srv rw - xfs /dev/vdb rw
32 31 0:42 / /srv rw - fuse.sshfs host: rw
33 22 254:0 /x/lease.db /data/lease.db rw - ext4 /dev/vda rw
damaged line
";

    /// The longest mount point counts, the last of equals covers the others, escapes are read, and a mount point that is
    /// not UTF-8 hides none of the others.
    #[test]
    fn the_mount_that_covers_a_path_is_found() {
        let found = |path: &str| fs_type(MOUNTS, Path::new(path)).map(Cow::into_owned);
        assert_eq!(found("/var/lib/x.db").as_deref(), Some("ext4"));
        assert_eq!(found("/mnt/my share/x.db").as_deref(), Some("nfs4"));
        assert_eq!(found("/mnt/my sharing/x.db").as_deref(), Some("ext4"));
        assert_eq!(found("/srv/x.db").as_deref(), Some("fuse.sshfs"));
        assert_eq!(fs_type(MOUNTS, Path::new(OsStr::from_bytes(b"/mnt/\xff/x.db"))).as_deref(), Some("tmpfs"));
        assert_eq!(fs_type(b"", Path::new("/x")), None);
    }

    /// A file that is mounted alone is told from a folder that is.
    #[test]
    fn a_lone_file_mount_is_found() {
        assert!(is_mount_point(MOUNTS, Path::new("/data/lease.db")));
        assert!(!is_mount_point(MOUNTS, Path::new("/data/other.db")));
    }

    /// Backslashes that start no code stay.
    #[test]
    fn odd_escapes_survive() {
        assert_eq!(unescape(r"a\134b\04é\".as_bytes()), r"a\b\04é\".as_bytes());
    }
}
