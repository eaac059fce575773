//! The peer for memory: tokio-rustls alone, with a buffer of 8 KiB that waits for the next bytes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use super::Idle;

const BUFFER: usize = 8 * 1024;

/// Opens the connections, each with one channel joined, and returns how much memory they took.
///
/// # Errors
/// Where a connection fails.
pub(crate) fn hold(port: u16, ca: &Path, connections: usize) -> Result<Idle> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).context("cannot read the certificate")?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let (joined, mut all) = mpsc::channel(connections.max(1));
        let mut idle = Idle::before(connections)?;
        for number in 0..connections {
            // Connected one after the other, because the memory of a handshake is reused by the next.
            let stream = open(&connector, port, number).await?;
            tokio::spawn(read(stream, joined.clone()));
            let done = tokio::time::timeout(Duration::from_secs(30), all.recv()).await.context("no answer to JOIN")?;
            if done.is_none() {
                bail!("every connection has ended");
            }
        }
        idle.after().await?;
        Ok(idle)
    })
}

type Stream = tokio_rustls::client::TlsStream<TcpStream>;

async fn open(connector: &TlsConnector, port: u16, number: usize) -> Result<Stream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    let mut stream = connector.connect(ServerName::try_from("localhost")?, stream).await.context("no TLS")?;
    let hello = format!(
        "CAP REQ :twitch.tv/tags twitch.tv/commands\r\nPASS x\r\nNICK justinfan{}\r\nJOIN #channel{number}\r\n",
        1000 + number
    );
    stream.write_all(hello.as_bytes()).await?;
    stream.flush().await?;
    Ok(stream)
}

async fn read(mut stream: Stream, joined: mpsc::Sender<()>) {
    let mut buffer = vec![0; BUFFER];
    let mut told = false;
    while let Ok(length) = stream.read(&mut buffer).await {
        if length == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&buffer[..length]);
        if !told && text.contains(" ROOMSTATE ") {
            told = true;
            if joined.send(()).await.is_err() {
                return;
            }
        }
    }
}
