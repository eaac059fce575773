//! A certificate authority that is made at each start, and a server certificate that it signs.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use crate::error::SimError;

/// The server's side of TLS.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    /// The authority's certificate, which clients must trust.
    pub(crate) ca_pem: Arc<str>,
}

impl Tls {
    /// A server for `localhost`, the loopback addresses, Twitch's own names and these addresses.
    pub(crate) fn new(listens: impl Iterator<Item = IpAddr>) -> Result<Self, SimError> {
        let failed = |error: &dyn std::fmt::Display| SimError::Tls(error.to_string());
        let names = ["localhost", "127.0.0.1", "::1", "irc.chat.twitch.tv", "irc-ws.chat.twitch.tv"];
        let mut names = names.map(str::to_owned).to_vec();
        for listen in listens.filter(|listen| !listen.is_unspecified() && !listen.is_loopback()) {
            names.push(listen.to_string());
        }
        let ca_key = KeyPair::generate().map_err(|error| failed(&error))?;
        let mut ca = CertificateParams::new(Vec::new()).map_err(|error| failed(&error))?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "Tenure simulated Twitch authority");
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let ca_certificate = ca.self_signed(&ca_key).map_err(|error| failed(&error))?;
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let mut leaf = CertificateParams::new(names).map_err(|error| failed(&error))?;
        leaf.distinguished_name.push(DnType::CommonName, "Tenure simulated Twitch");
        leaf.use_authority_key_identifier_extension = true;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = leaf.signed_by(&key, &issuer).map_err(|error| failed(&error))?;
        let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| failed(&error))?;
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .map_err(|error| failed(&error))?;
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), ca_pem: ca_certificate.pem().into() })
    }
}
