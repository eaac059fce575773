//! What is known of a call to Firestore that brought nothing.

use tenure_base_http::{CallError, SetupError};

use crate::login::LoginError;

/// A call that brought nothing. Shows no secret.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FirestoreError {
    /// Refused, and nothing was done, unless the status says otherwise.
    #[error("{place}: {status}: {message}; {}", remedy(.status))]
    Refused {
        /// Project and database.
        place: String,
        /// The status, such as `NOT_FOUND`. It counts, and not the code of HTTP, which has several meanings.
        status: String,
        /// What Firestore says besides.
        message: String,
    },
    /// There is nothing that the call could show.
    #[error("{0}; an emulator is named in FIRESTORE_EMULATOR_HOST")]
    Login(#[from] LoginError),
    /// Not sent, or not answered.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The client cannot be made.
    #[error("{0}")]
    Setup(String),
    /// Answered, and not as Firestore does.
    #[error("an answer that is not to be understood")]
    Odd,
}

/// What a caller can make of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was done: the caller may not.
    Denied,
    /// Nothing was done: names, settings or the database are not right.
    Invalid,
    /// Nothing was done: it may be had later.
    Unavailable,
    /// It may have been done, or may still be.
    Unknown,
}

impl FirestoreError {
    /// What it means.
    pub fn failure(&self) -> Failure {
        match self {
            FirestoreError::Refused { status, .. } => match status.as_str() {
                "PERMISSION_DENIED" | "UNAUTHENTICATED" => Failure::Denied,
                "NOT_FOUND" | "INVALID_ARGUMENT" | "FAILED_PRECONDITION" => Failure::Invalid,
                "RESOURCE_EXHAUSTED" => Failure::Unavailable,
                _ => Failure::Unknown,
            },
            FirestoreError::Call(error) if error.is_unknown() => Failure::Unknown,
            FirestoreError::Odd => Failure::Unknown,
            FirestoreError::Login(LoginError::Unusable(_)) => Failure::Denied,
            FirestoreError::Setup(_) => Failure::Invalid,
            FirestoreError::Call(_) | FirestoreError::Login(_) => Failure::Unavailable,
        }
    }
}

impl From<SetupError> for FirestoreError {
    fn from(error: SetupError) -> FirestoreError {
        FirestoreError::Setup(error.to_string())
    }
}

fn remedy(status: &str) -> &'static str {
    match status {
        "PERMISSION_DENIED" => "grant the role roles/datastore.user in that project",
        "UNAUTHENTICATED" => "the credentials are not accepted: make new ones",
        "NOT_FOUND" => "look the names up with `gcloud firestore databases list`",
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" => "the names must be right, and the database in native mode",
        "RESOURCE_EXHAUSTED" => "the quota is used up, or there are too many writes",
        _ => "Firestore does not say what became of it",
    }
}
