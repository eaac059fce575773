//! TLS with a CA of one's own.

use std::fs;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tenure_twitch::{LostReason, Reader, ReaderError, ReaderEvent};
use tokio_rustls::TlsAcceptor;

use crate::server::{Client, Server, say};

/// A CA in PEM, and a server that has a certificate of it for 127.0.0.1.
async fn server_with_ca() -> (String, Server) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    (ca.pem(), Server::new(Some(TlsAcceptor::from(Arc::new(config)))).await)
}

/// With the CA's file the server is trusted, and lines come over TLS.
#[tokio::test]
async fn a_server_of_ones_own_is_trusted_by_its_ca() {
    let (ca, server) = server_with_ca().await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = server.config(&["room"]);
    config.ca_file = Some(folder.path().join("ca.pem"));
    fs::write(config.ca_file.as_ref().unwrap(), ca).unwrap();
    let mut client = Client::start(config);
    let mut peer = server.welcome(&["room"]).await;
    peer.send(&say("room", "sealed")).await;
    assert_eq!(client.chat().await.1, say("room", "sealed").as_bytes());
}

/// Another CA's file takes the place of the system's trust: this server is refused, and no login is sent.
#[tokio::test]
async fn a_server_of_another_ca_is_refused() {
    let (_, server) = server_with_ca().await;
    let (other_ca, _) = server_with_ca().await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = server.config(&["room"]);
    config.ca_file = Some(folder.path().join("ca.pem"));
    fs::write(config.ca_file.as_ref().unwrap(), other_ca).unwrap();
    let mut client = Client::start(config);
    assert!(server.try_accept().await.is_err());
    match client.event().await {
        ReaderEvent::Disconnected { reason: LostReason::Network(words), last_alive_unix_ms: None, .. } => {
            assert!(words.contains("TLS") && words.contains("certificate"), "{words}");
        }
        other => panic!("unexpected {other:?}"),
    }
}

/// A CA file that is absent, empty or no PEM is refused at the start, by its name.
#[tokio::test]
async fn a_bad_ca_file_is_refused_at_the_start() {
    let (_, server) = server_with_ca().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    for content in [None, Some("nothing"), Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")] {
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let mut config = server.config(&["room"]);
        config.ca_file = Some(path.clone());
        let error = Reader::start(config).unwrap_err();
        assert!(matches!(error, ReaderError::Tls(_)), "{error}");
        assert!(error.to_string().contains("ca.pem"), "{error}");
    }
}
