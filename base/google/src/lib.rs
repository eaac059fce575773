//! What speaks with Google: its default credentials, and Firestore over REST.
//!
//! Credentials are found by Google's own library: the file that `GOOGLE_APPLICATION_CREDENTIALS` names, that of
//! `gcloud auth application-default login`, or the metadata server of the machine. Tokens are kept, and renewed minutes
//! before they end. No token and no key shows in an error or in what is printed of these types.

pub mod firestore;
mod login;
pub mod values;

pub use login::{Login, LoginError, Pass};
