//! Whoever may call: each kind of Google's default credentials against a fake of Google's front, tokens that end, and none.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/front.rs"]
mod front;
#[path = "support/kit.rs"]
mod kit;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use front::Front;
use kit::*;
use serde_json::{Value, json};
use tenure_firestore::FirestoreConfig;
use tenure_store::Renewed;
use tenure_test_servers::{Firestore, FirestorePrograms, or_skip};

fn emulator() -> Option<Firestore> {
    or_skip("firestore credentials", false, FirestorePrograms::find()).map(|programs| programs.start().unwrap())
}

/// The default credentials are found through the environment, so whoever uses them here is a process of its own: it claims a
/// key, renews it as often as it is told, and prints what came of it. By itself this does nothing.
#[tokio::test]
async fn child() {
    let Ok(url) = std::env::var("CHILD_URL") else { return };
    let pauses: Vec<u64> = serde_json::from_str(&std::env::var("CHILD_PAUSES").unwrap()).unwrap();
    if std::env::var_os("CHILD_LOGS").is_some() {
        tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::TRACE).init();
    }
    let said = async {
        let store = tenure_firestore::open(&url.parse::<FirestoreConfig>()?.with_environment()?).await?;
        let own = granted(&store, &claim("k", 1)).await;
        for pause in pauses {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            assert_eq!(renew(&store, &own).await?, Renewed::Extended { resign_requested: false });
        }
        release(&store, &own).await
    };
    match said.await {
        Ok(released) => println!("CHILD {released:?}"),
        Err(error) => println!("CHILD {:?} retryable={} {error} {error:?}", error.kind(), error.is_retryable()),
    }
}

/// All that the child prints.
fn child_with(url: &str, pauses: &[u64], variables: &[(&str, &str)]) -> String {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env("CHILD_URL", url)
        .env("CHILD_PAUSES", json!(pauses).to_string())
        .env_remove("GOOGLE_APPLICATION_CREDENTIALS")
        .env_remove("FIRESTORE_EMULATOR_HOST")
        .env("HOME", home.path())
        // Nobody listens on port 1.
        .env("GCE_METADATA_HOST", "127.0.0.1:1")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("hunter2"), "a secret was told: {said}");
    said
}

fn url(front: &Front, emulator: &Firestore) -> String {
    format!("firestore://{}?timeout=3s&endpoint=http://{}", emulator.new_project(), front.host())
}

fn file(folder: &Path, content: &Value) -> String {
    let path = folder.join("credentials.json");
    std::fs::write(&path, content.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn user(front: &Front) -> Value {
    json!({
        "type": "authorized_user", "client_id": "an id", "client_secret": "hunter2-client", "refresh_token": "hunter2-refresh",
        "token_uri": format!("http://{}/token", front.host()), "quota_project_id": "who-pays",
    })
}

/// The emulator that the environment names is asked where the URL names nothing, and no credentials are looked for.
#[test]
fn the_environment_names_an_emulator() {
    let Some(emulator) = emulator() else { return };
    let metadata = Front::before(emulator.port());
    let url = format!("firestore://{}", emulator.new_project());
    let (host, port) = (emulator.host(), metadata.host());
    let said = child_with(&url, &[1], &[("FIRESTORE_EMULATOR_HOST", &host), ("GCE_METADATA_HOST", &port)]);
    assert!(said.contains("CHILD Freed"), "{said}");
    let state = metadata.state();
    assert_eq!((state.tokens, state.calls.len()), (0, 0));
}

/// The machine's own service account, from its metadata server: one token for many calls.
#[test]
fn a_metadata_server_gives_tokens() {
    let Some(emulator) = emulator() else { return };
    let front = Front::before(emulator.port());
    let said = child_with(&url(&front, &emulator), &[1, 1, 1], &[("GCE_METADATA_HOST", &front.host())]);
    assert!(said.contains("CHILD Freed"), "{said}");
    let state = front.state();
    assert_eq!(state.tokens, 1);
    assert!(
        state.calls.len() >= 6 && state.calls.iter().all(|(_, shown)| shown == "Bearer hunter2-1"),
        "{:?}",
        state.calls
    );
}

/// A user's credentials, from the variable's file and from where gcloud puts them: refreshed at the token endpoint, and the
/// project that pays is named.
#[test]
fn a_users_credentials_are_refreshed() {
    let Some(emulator) = emulator() else { return };
    for well_known in [false, true] {
        let front = Front::before(emulator.port());
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(".config/gcloud");
        std::fs::create_dir_all(&home).unwrap();
        let path = file(folder.path(), &user(&front));
        let variables = match well_known {
            true => {
                std::fs::rename(&path, home.join("application_default_credentials.json")).unwrap();
                ("HOME", folder.path().to_str().unwrap().to_owned())
            }
            false => ("GOOGLE_APPLICATION_CREDENTIALS", path),
        };
        let said = child_with(&url(&front, &emulator), &[1], &[(variables.0, &variables.1)]);
        assert!(said.contains("CHILD Freed"), "{said}");
        let state = front.state();
        assert!(state.asked_for_tokens.len() == 1 && state.asked_for_tokens[0].contains("hunter2-refresh"));
        assert!(state.quota_projects.len() == state.calls.len() && state.quota_projects[0] == "who-pays");
    }
}

/// A service account signs its tokens itself: for the scope of Firestore alone, and for no longer than an hour.
#[test]
fn a_service_account_signs_its_tokens() {
    let Some(emulator) = emulator() else { return };
    let front = Front::before(emulator.port());
    front.state().takes_signed = true;
    let folder = tempfile::tempdir().unwrap();
    let key = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .output()
        .unwrap();
    let path = file(
        folder.path(),
        &json!({
            "type": "service_account", "project_id": "demo", "private_key_id": "1", "client_email": "bot@demo.example",
            "private_key": String::from_utf8(key.stdout).unwrap(), "token_uri": format!("http://{}/token", front.host()),
        }),
    );
    let said = child_with(&url(&front, &emulator), &[1], &[("GOOGLE_APPLICATION_CREDENTIALS", &path)]);
    assert!(said.contains("CHILD Freed"), "{said}");
    let state = front.state();
    let token = state.calls[0].1.strip_prefix("Bearer ").unwrap();
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap().trim_end_matches('=')).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["iss"], "bot@demo.example");
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/datastore");
    assert!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap() <= 3_700);
    assert!(!said.contains("PRIVATE KEY") && !said.contains(token));
}

/// A token that Google does not take any more is replaced once, and the call that met the refusal is not lost; where that
/// does not help the store says so, and asks for no more tokens.
#[test]
fn a_refused_token_is_renewed_once() {
    let Some(emulator) = emulator() else { return };
    let front = Front::before(emulator.port());
    front.state().revoked = 1;
    let metadata = [("GCE_METADATA_HOST", front.host())];
    let metadata = metadata.each_ref().map(|(name, value)| (*name, value.as_str()));
    let said = child_with(&url(&front, &emulator), &[1], &metadata);
    assert!(said.contains("CHILD Freed"), "{said}");
    assert_eq!(front.state().tokens, 2);

    front.state().revoked = 1_000;
    front.state().calls.clear();
    let said = child_with(&url(&front, &emulator), &[], &metadata);
    assert!(
        said.contains("CHILD Denied retryable=false") && said.contains("the credentials are not accepted"),
        "{said}"
    );
    let state = front.state();
    assert_eq!((state.tokens, state.calls.len()), (4, 2));
}

/// A token that is about to end is renewed before it does, without a call that is refused.
#[test]
fn tokens_are_renewed_before_they_end() {
    let Some(emulator) = emulator() else { return };
    let front = Front::before(emulator.port());
    // Google's library looks every ten seconds after tokens that are good for less than four minutes.
    front.state().expires_in = 15;
    let pauses: Vec<u64> = vec![1_000; 17];
    let said = child_with(&url(&front, &emulator), &pauses, &[("GCE_METADATA_HOST", &front.host())]);
    assert!(said.contains("CHILD Freed"), "{said}");
    let state = front.state();
    assert!((2..=3).contains(&state.tokens), "{}", state.tokens);
    assert!(state.calls.iter().any(|(_, shown)| shown == "Bearer hunter2-2"));
}

/// Whatever is logged, by this or by any library: no token and no secret of the credentials is in it.
#[test]
fn no_secret_is_logged() {
    let Some(emulator) = emulator() else { return };
    let front = Front::before(emulator.port());
    front.state().revoked = 1;
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), &user(&front));
    let variables = [("GOOGLE_APPLICATION_CREDENTIALS", path.as_str()), ("CHILD_LOGS", "1")];
    let said = child_with(&url(&front, &emulator), &[1], &variables);
    assert!(said.contains("CHILD Freed") && said.contains("TRACE"), "{said}");
}

/// Without credentials, with a file that is missing or of no use, and with a token endpoint that nobody answers at, the store
/// says what is wrong and what to do.
#[test]
fn missing_credentials_are_explained() {
    let Some(emulator) = emulator() else { return };
    let front = Front::before(emulator.port());
    let url = url(&front, &emulator);
    let folder = tempfile::tempdir().unwrap();
    let odd = file(folder.path(), &json!({ "type": "authorized_user", "client_secret": "hunter2" }));
    for (variables, kind) in [
        (vec![], ""),
        (vec![("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/file")], "CHILD Denied retryable=false"),
        (vec![("GOOGLE_APPLICATION_CREDENTIALS", odd.as_str())], "CHILD Denied retryable=false"),
    ] {
        let said = child_with(&url, &[], &variables);
        assert!(said.contains(kind) && said.contains("gcloud auth application-default login"), "{said}");
        println!("{}", said.lines().find(|line| line.contains("CHILD")).unwrap());
    }
    assert_eq!(front.state().calls.len(), 0);
}
