//! Trust and TLS set-up.

use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::BuilderVerifierExt;

use crate::ReaderError;

/// The client's TLS configuration: the system's trust, or only the certificates of `ca_file`.
pub(crate) fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, ReaderError> {
    let tls = |error: rustls::Error| ReaderError::Tls { why: error.to_string() };
    // The provider is named here, so that no other crate's choice of a process-wide one matters.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(tls)?;
    let builder = match ca_file {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None => builder.with_platform_verifier().map_err(tls)?,
    };
    Ok(Arc::new(builder.with_no_client_auth()))
}

fn roots(path: &Path) -> Result<RootCertStore, ReaderError> {
    let wrong = |why: String| ReaderError::CaFile { path: path.to_owned(), why };
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(format!("it is not PEM: {error}")))?;
        roots.add(certificate).map_err(|error| wrong(format!("a certificate in it is not usable: {error}")))?;
    }
    if roots.is_empty() {
        return Err(wrong("it holds no certificate (-----BEGIN CERTIFICATE-----)".into()));
    }
    Ok(roots)
}
