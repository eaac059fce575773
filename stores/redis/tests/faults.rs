//! Connections that are cut while scripts run, and error replies that real servers give only for moments.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use kit::*;
use tenure_store::{Claim, Claimed, Held, LeaseStore, Released, Renewed, StoreErrorKind};
use tenure_test_servers::{RedisOptions, RedisPrograms, or_skip};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

/// While connections are cut all the time, every answer is true: what was granted stands there, what failed as unavailable
/// was not done, and only what failed with the outcome unknown may be either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_never_makes_an_answer_wrong() {
    const ROUNDS: usize = 300;
    let Some(programs) = or_skip("redis servers", true, RedisPrograms::find()) else { return };
    let server = programs.start(RedisOptions::default()).unwrap();
    let url = server.url() + "?durable=true";
    let (store, over) = (open(&url).await, AtomicBool::new(false));
    let mut killer = std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let mut counts = [0; 3];
    let mut unsettled: Vec<(Claim, StoreErrorKind)> = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                killer.write_all(b"CLIENT KILL TYPE normal SKIPME yes\r\n").unwrap();
                _ = killer.read(&mut [0; 64]).unwrap();
                std::thread::sleep(Duration::from_micros(300));
            }
        });
        let rounds = async {
            for round in 0..ROUNDS {
                let claims: Vec<Claim> = (0..4).map(|n| claim(&format!("{round}/{n}"), 1)).collect();
                let answers = join_all(claims.iter().map(|claim| acquire(&store, claim))).await;
                for (claim, answer) in claims.into_iter().zip(answers) {
                    match answer {
                        Ok(Claimed::Granted { term, .. }) => {
                            counts[0] += 1;
                            let own = held(&claim, term);
                            match renew(&store, &own).await {
                                Ok(renewed) => assert_eq!(renewed, Renewed::Extended { resign_requested: false }),
                                Err(error) => assert!(error.is_retryable(), "{error}"),
                            }
                        }
                        Ok(other) => panic!("nobody else claims {:?}: {other:?}", claim.key),
                        Err(error) => {
                            assert!(error.is_retryable(), "{error}");
                            counts[if error.is_outcome_unknown() { 1 } else { 2 }] += 1;
                            unsettled.push((claim, error.kind()));
                        }
                    }
                }
            }
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(rounds));
        over.store(true, Ordering::Relaxed);
    });
    let calm = open(&url).await;
    for (claim, kind) in &unsettled {
        let record = calm.record(&claim.key).await.unwrap();
        match kind {
            StoreErrorKind::TimedOut => assert!(record.is_none_or(|record| record.nonce == Some(claim.nonce))),
            _ => assert!(record.is_none(), "{:?} failed as {kind:?} and was done", claim.key),
        }
    }
    assert!(counts[0] > 0 && counts[1] + counts[2] > 0, "granted, unknown, not done: {counts:?}");
}

/// A release that was cut off and is repeated ends as one: the key is free, and the next term is higher.
#[tokio::test]
async fn a_repeated_release_is_one_release() {
    let Some(programs) = or_skip("redis servers", true, RedisPrograms::find()) else { return };
    let server = programs.start(RedisOptions::default()).unwrap();
    let store = open(&(server.url() + "?durable=true")).await;
    let own: Held = held(&claim("k", 1), granted(&store, &claim("k", 1)).await);
    assert_eq!(release(&store, &own).await.unwrap(), Released::Freed);
    server.cli(["client", "kill", "type", "normal"]);
    server.cli(["script", "flush"]);
    let deadline = Instant::now() + PATIENCE;
    let again = loop {
        match release(&store, &own).await {
            Ok(released) => break released,
            Err(error) => assert!(error.is_retryable() && Instant::now() < deadline, "{error}"),
        }
    };
    assert_eq!(again, Released::NotHeld);
    assert!(granted(&store, &claim("k", 2)).await > own.term);
}

/// A server that loads its data, is busy with a script, or has lost its master says so: nothing was done, and it is tried
/// again. A reply that nobody knows may have come from the middle of a script.
#[tokio::test]
async fn replies_for_moments_are_told_with_what_was_done() {
    for (reply, kind) in [
        ("-LOADING Redis is loading the dataset in memory\r\n", StoreErrorKind::Unavailable),
        ("-BUSY Redis is busy running a script.\r\n", StoreErrorKind::Unavailable),
        ("-MASTERDOWN Link with MASTER is down\r\n", StoreErrorKind::Unavailable),
        ("-READONLY You can't write against a read only replica.\r\n", StoreErrorKind::Unavailable),
        ("-NOAUTH Authentication required.\r\n", StoreErrorKind::Denied),
        ("-ERR Error running script\r\n", StoreErrorKind::TimedOut),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://127.0.0.1:{}?durable=true", listener.local_addr().unwrap().port());
        let server = tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut bytes = [0; 4_096];
                    while let Ok(1..) = client.read(&mut bytes).await {
                        let info = bytes.windows(4).any(|word| word == b"INFO");
                        bytes.fill(0);
                        let answer = if info { "$13\r\nrole:master\r\n\r\n" } else { reply };
                        if client.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        let store = open(&url).await;
        let error = acquire(&store, &claim("k", 1)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{reply}: {error}");
        server.abort();
    }
}
