//! Who calls, and what a call shows.

use std::error::Error;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use google_cloud_auth::credentials::{Builder, CacheableResource, Credentials};
use tenure_base_http::Call;
use tenure_base_net::secret::SecretString;

/// Who calls.
pub struct Login {
    scope: &'static str,
    /// How often the credentials were made anew, and they; `None` for an emulator.
    credentials: Option<Mutex<(u64, Credentials)>>,
}

/// What one call shows.
pub struct Pass {
    authorization: SecretString,
    /// Whose quota the call counts against, where a user's credentials say so.
    quota_project: Option<String>,
    made: u64,
}

/// Why there is no token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoginError {
    /// It may be had later.
    #[error("no access token: {0}; if this lasts, {REMEDY}")]
    Unavailable(String),
    /// The credentials are missing, or of no use.
    #[error("there are no usable Google credentials: {0}; {REMEDY}")]
    Unusable(String),
}

const REMEDY: &str = "name a key file in GOOGLE_APPLICATION_CREDENTIALS, run `gcloud auth application-default login`, or run where \
                      Google gives every machine a service account";

impl Login {
    /// Somebody whom Google's emulators take for the owner of everything.
    pub fn for_emulator() -> Login {
        Login { scope: "", credentials: None }
    }

    /// Google's default credentials, for this scope alone. Reads files; asks nobody.
    ///
    /// Must be called within tokio's runtime: a task renews the token.
    pub fn google(scope: &'static str) -> Result<Login, LoginError> {
        // Google's library takes its TLS from the process's provider, and panics where there is none. An application that
        // has chosen one keeps it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Login { scope, credentials: Some(Mutex::new((0, build(scope)?))) })
    }

    /// What a call may show now.
    pub async fn pass(&self, within: Duration) -> Result<Pass, LoginError> {
        let Some(credentials) = &self.credentials else {
            return Ok(Pass { authorization: "Bearer owner".into(), quota_project: None, made: 0 });
        };
        let (made, credentials) = lock(credentials).clone();
        let unavailable = |why: &str| LoginError::Unavailable(why.to_owned());
        let asked = tokio::time::timeout(within, credentials.headers(Default::default())).await;
        let headers = match asked.map_err(|_| unavailable("no answer in time"))? {
            Ok(CacheableResource::New { data, .. }) => data,
            Ok(CacheableResource::NotModified) => return Err(unavailable("none was given")),
            Err(error) if error.is_transient() => return Err(LoginError::Unavailable(root(&error))),
            Err(error) => return Err(LoginError::Unusable(root(&error))),
        };
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let authorization = text("authorization").ok_or_else(|| unavailable("none was given"))?.into();
        Ok(Pass { authorization, quota_project: text("x-goog-user-project").map(str::to_owned), made })
    }

    /// After a refusal of this pass: the next one has another token, which is asked for once for all who were refused. `false`
    /// where there is nothing to renew.
    pub fn renew(&self, refused: &Pass) -> Result<bool, LoginError> {
        let Some(credentials) = &self.credentials else { return Ok(false) };
        let mut kept = lock(credentials);
        if kept.0 == refused.made {
            *kept = (kept.0 + 1, build(self.scope)?);
        }
        Ok(true)
    }
}

impl Pass {
    /// The call, with what it shows.
    pub fn on(&self, call: Call) -> Call {
        let call = call.authorization("", &self.authorization);
        match &self.quota_project {
            Some(project) => call.header("x-goog-user-project", project),
            None => call,
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.credentials.is_some() { "Login(Google)" } else { "Login(emulator)" })
    }
}

fn build(scope: &str) -> Result<Credentials, LoginError> {
    Builder::default().with_scopes([scope]).build().map_err(|error| LoginError::Unusable(root(&error)))
}

fn lock(credentials: &Mutex<(u64, Credentials)>) -> MutexGuard<'_, (u64, Credentials)> {
    credentials.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The innermost error: the outer ones say no more than that something has failed.
fn root(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
