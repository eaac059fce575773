//! Trust and TLS set-up.

use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::config::{NatsBusConfig, Problem};

/// The client's TLS configuration: the system's trust, or only the certificates of `ca_file`; with a certificate of its
/// own where one is given.
pub(crate) fn client_config(config: &NatsBusConfig) -> Result<Arc<ClientConfig>, Problem> {
    let tls = |error: rustls::Error| Problem::new(format!("TLS cannot be set up: {error}"));
    // The provider is named here, so that no other crate's choice of a process-wide one matters.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(tls)?;
    let builder = match &config.ca_file {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| unusable(path, error))?;
            }
            builder.with_root_certificates(roots)
        }
        None => builder.with_platform_verifier().map_err(tls)?,
    };
    Ok(Arc::new(match (&config.cert_file, &config.key_file) {
        (Some(certificate), Some(key)) => {
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error))?;
            builder.with_client_auth_cert(certificates(certificate)?, private).map_err(tls)?
        }
        _ => builder.with_no_client_auth(),
    }))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let pem = std::fs::read(path).map_err(|error| unusable(path, error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| unusable(path, error))?;
    if found.is_empty() {
        return Err(unusable(path, "it holds no certificate (-----BEGIN CERTIFICATE-----)"));
    }
    Ok(found)
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> Problem {
    Problem::new(format!("{} is not usable: {why}", path.display()))
}
