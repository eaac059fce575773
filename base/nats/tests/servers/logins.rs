//! Logins and TLS: each works, and what is wrong is said without a secret.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair as TlsKey};
use serde_json::{Value, json};
use tempfile::TempDir;
use tenure_base_nats::{Connection, NatsConfig, NatsError, NatsErrorKind, Servers};
use tenure_test_servers::{NatsLogin, NatsOptions, NatsTls};
use tokio::time::Instant;

use crate::server;

async fn connect(url: &str, environment: &[(&str, &str)]) -> Result<Connection, NatsError> {
    let lookup = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let config = NatsConfig::parse(url, |_, _| Err("unknown".into())).unwrap().with_environment(lookup).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    let deadline = Instant::now() + config.timeout;
    Servers::new(config)?.connect(deadline).await
}

/// Connects, and is heard by itself: it may publish and subscribe.
async fn works(url: &str, environment: &[(&str, &str)]) {
    let mut connection = connect(url, environment).await.unwrap();
    let info = connection.info().clone();
    assert!(info.version.starts_with("2.") && info.max_payload > 0 && info.jetstream, "{info:?}");
    let deadline = Instant::now() + Duration::from_secs(10);
    let error = connection.request("nobody.listens", None, b"", deadline).await.unwrap_err();
    assert_eq!(error.kind(), NatsErrorKind::NoResponders, "{error}");
}

/// Refused for good, in words that hold `named` and no secret.
async fn refused(url: &str, environment: &[(&str, &str)], named: &str) {
    let error = connect(url, environment).await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), NatsErrorKind::Invalid, "{text}");
    assert!(text.contains(named) && !text.contains("hunter2") && !text.contains("SU"), "{text}");
}

/// User and password, from the environment or the URL.
#[tokio::test(flavor = "multi_thread")]
async fn user_and_password() {
    let login = NatsLogin::User("me".into(), "hunter2".into());
    let Some(server) = server("2.9", &NatsOptions { login, ..NatsOptions::default() }) else { return };
    let url = server.url();
    works(&url, &[("NATS_USER", "me"), ("NATS_PASSWORD", "hunter2")]).await;
    works(&url.replace("nats://", "nats://me:hunter2@"), &[]).await;
    refused(&url, &[("NATS_USER", "me"), ("NATS_PASSWORD", "xhunter2")], "NATS_PASSWORD").await;
    refused(&url, &[], "NATS_CREDS").await;
}

/// A token, from the environment or the URL.
#[tokio::test(flavor = "multi_thread")]
async fn token() {
    let login = NatsLogin::Token("hunter2".into());
    let Some(server) = server("2.15", &NatsOptions { login, ..NatsOptions::default() }) else { return };
    works(&server.url(), &[("NATS_TOKEN", "hunter2")]).await;
    works(&server.url().replace("nats://", "nats://hunter2@"), &[]).await;
    refused(&server.url(), &[("NATS_TOKEN", "hunter22")], "NATS_TOKEN").await;
}

/// An nkey, given as its seed or as a file.
#[tokio::test(flavor = "multi_thread")]
async fn nkey() {
    let user = KeyPair::new_user();
    let login = NatsLogin::NKey(user.public_key());
    let Some(server) = server("2.9", &NatsOptions { login, ..NatsOptions::default() }) else { return };
    let seed = user.seed().unwrap();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("user.nk");
    std::fs::write(&file, format!("{seed}\n")).unwrap();
    works(&server.url(), &[("NATS_NKEY", &seed)]).await;
    works(&server.url(), &[("NATS_NKEY", file.to_str().unwrap())]).await;
    refused(&server.url(), &[("NATS_NKEY", &KeyPair::new_user().seed().unwrap())], "NATS_NKEY").await;
}

/// A credentials file of a decentralised user.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_file() {
    let (operator, account, user) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let system = KeyPair::new_account();
    let limits = json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
        "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1 });
    let no_jetstream = json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1 });
    let account_claims = |limits: &Value| json!({ "limits": limits, "type": "account", "version": 2 });
    let operator_jwt = jwt(&operator, &operator, &json!({ "type": "operator", "version": 2 }));
    let account_jwt = jwt(&operator, &account, &account_claims(&limits));
    let system_jwt = jwt(&operator, &system, &account_claims(&no_jetstream));
    let user_jwt =
        jwt(&account, &user, &json!({ "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2 }));
    let options = NatsOptions {
        config: format!(
            "operator: {operator_jwt}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {account_jwt}, {}: \
             {system_jwt} }}",
            system.public_key(),
            account.public_key(),
            system.public_key()
        ),
        ..NatsOptions::default()
    };
    for version in ["2.9", "2.15"] {
        let Some(server) = server(version, &options) else { return };
        let folder = TempDir::new().unwrap();
        let credentials = |seed: &str| {
            let file = folder.path().join("user.creds");
            let text = format!(
                "-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n\
                 -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
            );
            std::fs::write(&file, text).unwrap();
            file
        };
        let file = credentials(&user.seed().unwrap());
        works(&server.url(), &[("NATS_CREDS", file.to_str().unwrap())]).await;
        let file = credentials(&KeyPair::new_user().seed().unwrap());
        refused(&server.url(), &[("NATS_CREDS", file.to_str().unwrap())], "NATS_CREDS").await;
    }
}

fn jwt(issuer: &KeyPair, subject: &KeyPair, nats: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "iss": issuer.public_key(), "sub": subject.public_key(), "iat": 1_700_000_000, "jti": "x", "name": "x",
        "nats": nats });
    let text = format!("{}.{}", part(&json!({ "typ": "JWT", "alg": "ed25519-nkey" })), part(&claims));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(text.as_bytes()).unwrap());
    format!("{text}.{signature}")
}

struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// An authority, a server's certificate for 127.0.0.1, and a client's.
    fn new() -> Certificates {
        let folder = TempDir::new().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, TlsKey::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        for name in ["server", "client"] {
            let key = TlsKey::generate().unwrap();
            let params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &ca).unwrap();
            std::fs::write(folder.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
            std::fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        Certificates { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// TLS with an authority of one's own; without it, or without TLS where it is asked for, nothing is sent.
#[tokio::test(flavor = "multi_thread")]
async fn tls_is_verified() {
    let files = Certificates::new();
    let tls = Some(NatsTls { certificate: files.path("server.pem"), key: files.path("server.key"), clients_ca: None });
    let login = NatsLogin::User("me".into(), "hunter2".into());
    let ca = text(&files.path("ca.pem"));
    let environment = [("NATS_USER", "me"), ("NATS_PASSWORD", "hunter2"), ("NATS_CA", ca.as_str())];
    for version in ["2.9", "2.15"] {
        let options = NatsOptions { login: login.clone(), tls: tls.clone(), ..NatsOptions::default() };
        let Some(encrypted) = server(version, &options) else { return };
        works(&encrypted.url().replace("nats://", "tls://"), &environment).await;
        works(&encrypted.url(), &environment).await;
        refused(&encrypted.url(), &environment[..2], "NATS_CA").await;
        let plain = server(version, &NatsOptions { login: login.clone(), ..NatsOptions::default() }).unwrap();
        refused(&plain.url().replace("nats://", "tls://"), &environment, "speaks no TLS").await;
    }
}

/// A server that verifies its clients gets the client's own certificate.
#[tokio::test(flavor = "multi_thread")]
async fn clients_are_verified() {
    let files = Certificates::new();
    let (certificate, key) = (files.path("server.pem"), files.path("server.key"));
    let tls = Some(NatsTls { certificate, key, clients_ca: Some(files.path("ca.pem")) });
    let Some(server) = server("2.9", &NatsOptions { tls, ..NatsOptions::default() }) else { return };
    let paths = ["ca.pem", "client.pem", "client.key"].map(|name| text(&files.path(name)));
    let all = [("NATS_CA", paths[0].as_str()), ("NATS_CERT", paths[1].as_str()), ("NATS_KEY", paths[2].as_str())];
    works(&server.url(), &all).await;
    assert!(connect(&server.url(), &all[..1]).await.is_err());
}
