//! What of a database weakens what it keeps, for an operator who asks.

use std::time::{Duration, SystemTime};

use tenure_base_net::diagnosis::{ClockReading, Diagnosis};

use crate::database::Database;
use crate::error::FirestoreError;
use crate::firestore::Firestore;

impl Firestore {
    /// Reads this document, which need not be there, for Google's clock. `database` is what this client was made for.
    pub async fn diagnose(&self, database: &Database, document: String) -> Result<Diagnosis, FirestoreError> {
        let mut found = Diagnosis::default();
        let asked = SystemTime::now();
        let read = self.read(&[document]).await?;
        let clock = |micros| ClockReading::new(micros, Duration::ZERO, asked, SystemTime::now());
        found.clock = read.first().map(|read| clock(read.micros));
        match &database.emulator {
            Some(host) => found.weak(
                format!(
                    "firestore: {host} is an emulator: all leases are forgotten when it ends, and anybody may change them"
                ),
                "unset FIRESTORE_EMULATOR_HOST, and leave ?emulator= out, where leases matter",
            ),
            None if database.endpoint.is_some() => {
                found.well("firestore: by an endpoint that the URL names, with Google's default credentials");
            }
            None => found.well("firestore: Google's own, with its default credentials"),
        }
        Ok(found)
    }
}
