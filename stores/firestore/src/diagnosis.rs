//! What weakens the guarantee, for an operator who asks.

use std::time::{Duration, SystemTime};

use tenure_records::{Place, Records};
use tenure_store::{ClockReading, Diagnosis, LeaseKey, StoreError};

use crate::config::failed;

/// Reads a document that is not there, for the time at which it was read.
pub(crate) async fn diagnose(records: &dyn Records, emulator: Option<&str>) -> Result<Diagnosis, StoreError> {
    let key = LeaseKey::new("tenure-doctor").map_err(|error| failed(tenure_store::StoreErrorKind::Invalid, error))?;
    let asked = SystemTime::now();
    let seen = records.read(&Place::lease(&key)).await?;
    let mut found = Diagnosis::default();
    let read = |micros| ClockReading::new(micros, Duration::ZERO, asked, SystemTime::now());
    found.clock = seen.server_micros.map(read);
    match emulator {
        Some(host) => found.weak(
            format!(
                "firestore: {host} is an emulator: all leases are forgotten when it ends, and anybody may change them"
            ),
            "unset FIRESTORE_EMULATOR_HOST, and leave ?emulator= out, where leases matter",
        ),
        None => found.well("firestore: Google's own, with its default credentials"),
    }
    Ok(found)
}
