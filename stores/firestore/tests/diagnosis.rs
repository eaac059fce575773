//! What an operator is told of an emulator.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use tenure_firestore::FirestoreConfig;
use tenure_store::LeaseStore;
use tenure_test_servers::{FirestorePrograms, or_skip};

/// An emulator is told, with how to do without it; Google's clock is that of its answers.
#[tokio::test]
async fn an_emulator_is_told() {
    let found = or_skip("firestore diagnosis", false, FirestorePrograms::find());
    let Some(emulator) = found.map(|programs| programs.start().unwrap()) else { return };
    let url = format!("firestore://{}?emulator={}&timeout=20s", emulator.new_project(), emulator.host());
    let config: FirestoreConfig = url.parse().unwrap();
    let found = tenure_firestore::open(&config).await.unwrap().diagnose().await.unwrap();
    let remark = found.remarks.iter().find(|remark| remark.text.contains("is an emulator")).unwrap();
    assert!(remark.mend.as_ref().unwrap().contains("unset FIRESTORE_EMULATOR_HOST"), "{remark:?}");
    let clock = found.clock.unwrap();
    assert!(clock.ahead_at_least <= 0 && clock.ahead_at_most >= 0, "the same machine: {clock:?}");
}
