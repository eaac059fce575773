//! TLS under an authority of one's own.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tenure_twitch_sim::{Fault, Select, Sim, SimConfig};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::client::{Client, DEADLINE, End, chatty};

pub(crate) fn connector(pem: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

async fn connect(addr: SocketAddr, name: &'static str, pem: &str) -> std::io::Result<Client> {
    let stream = TcpStream::connect(addr).await.unwrap();
    let port = stream.local_addr().unwrap().port();
    let name = ServerName::try_from(name).unwrap();
    let stream = timeout(DEADLINE, connector(pem).connect(name, stream)).await.unwrap()?;
    Ok(Client::over(stream, port))
}

async fn with_tls() -> (Sim, SocketAddr, String, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    let config = SimConfig {
        tls_listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        tls_ca_file: Some(file.clone()),
        ..chatty(200.0)
    };
    let sim = Sim::start(config).await.unwrap();
    let pem = std::fs::read_to_string(file).unwrap();
    assert_eq!(Some(pem.as_str()), sim.ca_pem());
    let addr = sim.addresses().ircs.unwrap();
    (sim, addr, pem, dir)
}

/// Who trusts the authority reads chat, by name or address; who trusts another does not.
#[tokio::test]
async fn the_authority_is_trusted() {
    let (sim, addr, pem, _dir) = with_tls().await;
    for name in ["localhost", "127.0.0.1", "irc.chat.twitch.tv"] {
        let mut client = connect(addr, name, &pem).await.unwrap();
        client.send("CAP REQ :twitch.tv/tags twitch.tv/commands").await;
        client.send("NICK justinfan1").await;
        client.until(" 376 ").await;
        client.join(&["room"]).await;
        client.until("PRIVMSG #room").await;
    }
    assert!(connect(addr, "elsewhere.example", &pem).await.is_err());
    let (_other, _, other_pem, _other_dir) = with_tls().await;
    assert!(connect(addr, "localhost", &other_pem).await.is_err());
    assert_eq!(sim.stats().connections[0].transport, "ircs");
}

/// Cuts work through TLS: FIN and RST look as they should.
#[tokio::test]
async fn cuts_reach_through_tls() {
    let (sim, addr, pem, _dir) = with_tls().await;
    for (how, end) in [(tenure_twitch_sim::Cut::Fin, End::Fin), (tenure_twitch_sim::Cut::Rst, End::Reset)] {
        let mut client = connect(addr, "localhost", &pem).await.unwrap();
        client.send("NICK justinfan1").await;
        client.until(" 376 ").await;
        sim.fault(Fault::Cut { select: Select::Port(client.port), how }).unwrap();
        assert_eq!(client.next().await, Err(end));
    }
}

/// A stalled handshake is never answered; when the stall is over the socket is reset, and new ones work.
#[tokio::test]
async fn handshakes_stall() {
    let (sim, addr, pem, _dir) = with_tls().await;
    sim.fault(Fault::TlsStall { for_ms: 300 }).unwrap();
    let mut bare = TcpStream::connect(addr).await.unwrap();
    assert!(connect(addr, "localhost", &pem).await.is_err());
    assert!(timeout(DEADLINE, bare.read_u8()).await.unwrap().is_err());
    assert_eq!(sim.stats().tls_stalled, 2);
    connect(addr, "localhost", &pem).await.unwrap();
}
