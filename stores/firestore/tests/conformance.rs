//! Google's emulator passes the suite.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/builder.rs"]
mod builder;
#[path = "support/by_hand.rs"]
mod by_hand;

use builder::builder;
use tenure_conformance::suite;
use tenure_test_servers::{FirestorePrograms, or_skip};

/// The whole suite, over an emulator. It keeps nothing over its own end: of what a restart must leave, only the case of a
/// store that forgets is run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn firestore_passes_the_suite() {
    let Some(programs) = or_skip("firestore", false, FirestorePrograms::find()) else { return };
    println!("{}", suite(&builder(programs.start().unwrap())).await);
}
