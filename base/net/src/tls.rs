//! The TLS of a client: whom it trusts, and who it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls_platform_verifier::BuilderVerifierExt;

/// What a client is told of TLS. The default trusts the authorities of the system, and has no certificate of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// PEM file of the only authorities that are trusted, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM files of the client's own certificate and of its key, for servers that verify clients.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// TLS that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not what it should be.
    #[error("{} is not usable: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system's trust or the library cannot be used.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

impl ClientTls {
    /// Reads the files and makes the configuration: TLS 1.2 and 1.3, the server's name always verified.
    pub fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        self.complete(match &self.ca_file {
            Some(path) => builder.with_root_certificates(authorities(path)?),
            None => builder.with_platform_verifier()?,
        })
    }

    /// As [`ClientTls::config`], for protocols whose habit it is to encrypt where the server happens to offer it, to whoever
    /// answers: verified where `ca_file` says whom to trust, else not at all. It keeps out who listens, not who stands between.
    pub fn opportunistic(&self) -> Result<Arc<ClientConfig>, TlsError> {
        if self.ca_file.is_some() {
            return self.config();
        }
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        self.complete(builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider()))))
    }

    fn complete(
        &self,
        builder: rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>,
    ) -> Result<Arc<ClientConfig>, TlsError> {
        Ok(Arc::new(match &self.identity {
            Some((certificate, key)) => {
                let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error))?;
                builder.with_client_auth_cert(certificates(certificate)?, private)?
            }
            None => builder.with_no_client_auth(),
        }))
    }
}

/// Named here, so that no other crate's choice of a process-wide one matters.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Takes every server for the right one, as long as it has the key of the certificate that it shows.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let added = roots.add(certificate);
        added.map_err(|error| unusable(path, format!("a certificate in it is not usable: {error}")))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = std::fs::read(path).map_err(|error| unusable(path, error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| unusable(path, format!("it is not PEM: {error}")))?;
    if found.is_empty() {
        return Err(unusable(path, no_certificate(&pem)));
    }
    Ok(found)
}

/// What a file holds in which there is no certificate, as far as that can be told, and what would be right.
fn no_certificate(found: &[u8]) -> &'static str {
    // A certificate, and a key, in DER is a sequence whose length takes two bytes.
    const DER: &[u8] = &[0x30, 0x82];
    let holds = |text: &[u8]| found.windows(text.len()).any(|window| window == text);
    if found.trim_ascii().is_empty() {
        "it is empty; name the PEM file with the certificate"
    } else if found.starts_with(DER) {
        "it is DER; make PEM of it with `openssl x509 -inform der`"
    } else if holds(b"PRIVATE KEY-----") {
        "it holds a private key and no certificate; name the PEM file with the certificate"
    } else {
        "it holds no certificate (-----BEGIN CERTIFICATE-----); name the PEM file with the certificate"
    }
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> TlsError {
    TlsError::File { path: path.to_owned(), why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Authorities and a certificate of one's own come from PEM files.
    #[test]
    fn pem_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let identity = Some((certificate.clone(), key));
        assert!(ClientTls { ca_file: Some(certificate.clone()), identity: None }.config().is_ok());
        assert!(ClientTls { ca_file: Some(certificate), identity }.config().is_ok());
    }

    /// What is wrong with a file is said, with its name.
    #[test]
    fn wrong_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let file = |name: &str, content: &[u8]| {
            std::fs::write(folder.path().join(name), content).unwrap();
            folder.path().join(name)
        };
        for (path, why) in [
            (folder.path().join("none.pem"), "No such file"),
            (folder.path().to_owned(), "Is a directory"),
            (file("empty.pem", b" \n"), "it is empty"),
            (file("words.pem", b"words"), "holds no certificate"),
            (file("cert.der", made.cert.der()), "it is DER"),
            (file("key.pem", made.signing_key.serialize_pem().as_bytes()), "holds a private key and no certificate"),
            (file("bad.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "not usable"),
        ] {
            let tls = ClientTls { ca_file: Some(path.clone()), identity: None };
            let error = tls.config().unwrap_err().to_string();
            assert!(error.contains(&*path.to_string_lossy()) && error.contains(why), "{error}");
        }
    }
}
