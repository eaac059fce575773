//! What speaks with Google: its default credentials, and Firestore over REST.
//!
//! Credentials are found by Google's own library: the file that `GOOGLE_APPLICATION_CREDENTIALS` names, that of
//! `gcloud auth application-default login`, or the metadata server of the machine. Tokens are kept, and renewed minutes
//! before they end. No token and no key shows in an error or in what is printed of these types.
//!
//! [`Firestore`] reads documents with Google's time, writes many on a condition each, and goes through collections. A call
//! without an answer tells whether it may have been done.

mod database;
mod diagnosis;
mod document;
mod error;
mod firestore;
mod login;
pub mod values;

pub use database::Database;
pub use document::{Change, Changed, Document, Read, is_id};
pub use error::{Failure, FirestoreError};
pub use firestore::Firestore;
pub use login::{Login, LoginError, Pass};
