//! Real servers for tests and benchmarks: found on this machine, started on free ports in a temporary folder, paused,
//! killed, started again, and ended by pid when their value is dropped.
//!
//! Nothing here is for production. Calls block for milliseconds to seconds; from async code they may be made directly,
//! because a test has nothing else to do meanwhile.

mod etcd;
mod find;
mod firestore;
mod folder;
mod kube;
mod nats;
mod pgbouncer;
mod ports;
mod postgres;
mod proxy;
mod redis;
mod server;
mod wall_clock;

pub use etcd::{Etcd, EtcdNode, EtcdOptions, EtcdPrograms, EtcdTls};
pub use find::{Missing, find, or_skip};
pub use firestore::{Firestore, FirestorePrograms};
pub use kube::{Kube, KubePrograms, KubeWay};
pub use nats::{Nats, NatsCluster, NatsLogin, NatsOptions, NatsTls, nats_program};
pub use pgbouncer::PgBouncer;
pub use ports::{free_port, free_port_and};
pub use postgres::{Postgres, PostgresOptions, PostgresPrograms};
pub use proxy::{Cut, CutOff, Proxy};
pub use redis::{Redis, RedisCluster, RedisClusterOptions, RedisOptions, RedisPrograms, RedisSentinels, RedisTls};
pub use server::{Server, StartError};
pub use wall_clock::WallClock;
