//! Every kind of servers that the fault arm knows, each in a file of its own.

mod etcd;
mod firestore;
mod kubernetes;
mod postgres;
mod redis;
mod redis_cluster;
mod redis_sentinel;
mod sqlite;

use crate::rig::Starter;

pub(crate) const RIGS: &[Starter] = &[
    sqlite::STARTER,
    redis::STARTER,
    redis_sentinel::STARTER,
    redis_cluster::STARTER,
    etcd::STARTER,
    etcd::THREE,
    postgres::STARTER,
    kubernetes::STARTER,
    firestore::STARTER,
];
