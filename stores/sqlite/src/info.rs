//! What the store says of itself.

use tenure_store::StoreInfo;

/// The store's limits, and the faults under which two holders can overlap.
pub(crate) static INFO: StoreInfo =
    StoreInfo::new("sqlite").watch(true).durable(true).shared(true).overlap_faults(OVERLAP_FAULTS);

const OVERLAP_FAULTS: &[&str] = if cfg!(target_os = "linux") {
    &[
        "while leases are held, the file is written over with an older state, rolled back with its file system or moved aside and back; or it or its -wal is deleted, and a process opens it next that had not used it",
        "the file is restored from a copy and gets the same inode on a file system that keeps no birth times (ext4 with 128-byte inodes, XFS v4)",
        "the file is restored from a copy or replaced, or its tables are dropped, and candidates of one key have different ttls or holds",
        "the machine's wall clock was ahead and is set back, and then an older state is put in place: two tenures may have one term",
        "the file is shared between machines through something that does not show itself as a network file system",
        "containers that are shown boot ids of their own share the file",
        "the machine is itself a virtual one and resumes from a snapshot or a long pause with its clock unmoved",
    ]
} else {
    &[
        "while leases are held, the file is written over with an older state, rolled back with its file system or moved aside and back; or it or its -wal is deleted, and a process opens it next that had not used it",
        "the file is restored from a copy and gets the same inode on a file system that keeps no birth times",
        "the file is restored from a copy or replaced, or its tables are dropped, and candidates of one key have different ttls or holds",
        "the file is on a network file system, which is only recognised on Linux",
        "the wall clock is set, as there is no boottime clock here",
    ]
};
