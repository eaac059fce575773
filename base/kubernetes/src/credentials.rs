//! The HTTP client below, made with the credentials of a kubeconfig, and why it cannot be made.

use std::io::ErrorKind;
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{AuthError, ConfigExt};
use kube::{Client, Config};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

use crate::error::{KubernetesError, KubernetesErrorKind, chain};

/// How long to wait for a connection, and for a plugin that fetches credentials before the first one.
const CONNECT: Duration = Duration::from_secs(2);
const PLUGIN: Duration = Duration::from_secs(30);

/// A client without retries: the second try of a conditional write would meet the first. The library's own repeats what was
/// answered by 429, 503 or 504.
pub(crate) async fn log_in(config: &Config) -> Result<Client, KubernetesError> {
    // Only where no other part of the program has chosen: the library asks for the process's choice.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cluster = config.clone();
    // Plugins are run here, and block.
    let made = tokio::task::spawn_blocking(move || assemble(&cluster));
    let invalid = KubernetesError::invalid;
    match tokio::time::timeout(PLUGIN, made).await {
        Ok(Ok(Ok(client))) => Ok(client),
        Ok(Ok(Err(kube::Error::Auth(error)))) => {
            let kind = if may_pass(&error) { KubernetesErrorKind::Unavailable } else { KubernetesErrorKind::Invalid };
            Err(KubernetesError::new(kind, missing(Some(&error))))
        }
        Ok(Ok(Err(error))) => Err(invalid(format!("TLS cannot be set up: {}", chain(&error)))),
        Ok(Err(_)) => Err(invalid("the credentials could not be read".to_owned())),
        Err(_) => {
            let why = format!("the plugin for credentials did not end within {PLUGIN:?}");
            Err(KubernetesError::unavailable(why))
        }
    }
}

/// Whether it may go by while nobody mends anything: a plugin asks others for its credentials, and says by its end alone
/// that it got none. One that is not there, or that prints something else, stays wrong.
fn may_pass(error: &AuthError) -> bool {
    match error {
        AuthError::AuthExecRun { .. } => true,
        AuthError::AuthExecStart(error) => !matches!(
            error.kind(),
            ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::InvalidInput | ErrorKind::NotADirectory
        ),
        _ => false,
    }
}

/// Why there are no credentials. Of what a plugin printed nothing is repeated, for it may be a token.
pub(crate) fn missing(error: Option<&AuthError>) -> String {
    match error {
        // Its arguments and variables may be secrets too.
        Some(AuthError::AuthExecRun { out, .. }) => format!("the plugin for credentials ended: {}", out.status),
        Some(AuthError::AuthExecStart(error)) => format!("the plugin for credentials cannot be started: {error}"),
        Some(AuthError::ReadTokenFile(error, path)) => format!("{} cannot be read: {error}", path.display()),
        Some(AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed) => {
            "the plugin for credentials printed no ExecCredential".to_owned()
        }
        Some(AuthError::MissingCommand) => "the kubeconfig names no command for its plugin".to_owned(),
        _ => "the credentials of the kubeconfig cannot be used".to_owned(),
    }
}

fn assemble(config: &Config) -> Result<Client, kube::Error> {
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(4)
        .build(connector(config.clone())?);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace.clone()))
}

/// Connects, TLS included, or fails in time. The client goes on connecting in a task of its own where another connection came free
/// meanwhile, and would do so for ever with a server, or a network, that swallows what TLS begins with.
fn connector(
    config: Config,
) -> Result<
    impl Service<Uri, Response = impl Read + Write + Connection + Unpin + Send, Error = BoxError, Future: Unpin + Send>
    + Clone,
    kube::Error,
> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    // A peer that has vanished is noticed on connections that nobody writes to, such as that of a watch.
    tcp.set_keepalive(Some(Duration::from_secs(5)));
    tcp.set_keepalive_interval(Some(Duration::from_secs(5)));
    tcp.set_keepalive_retries(Some(2));
    let https = config.rustls_https_connector_with_connector(tcp)?;
    Ok(https.map_future(|connecting| {
        Box::pin(async {
            let late = |_| BoxError::from(format!("not within {CONNECT:?}"));
            tokio::time::timeout(CONNECT, connecting).await.map_err(late)?
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that accepts and then says nothing is given up: nobody else ends a connection that nobody waits for.
    #[tokio::test]
    async fn a_handshake_has_an_end() {
        _ = rustls::crypto::ring::default_provider().install_default();
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url: Uri = format!("https://{}", silent.local_addr().unwrap()).parse().unwrap();
        let connecting = connector(Config::new(url.clone())).unwrap().call(url);
        let ended = tokio::time::timeout(Duration::from_secs(20), connecting).await.expect("an end");
        assert!(ended.is_err_and(|error| error.to_string().contains("not within 2s")));
    }
}
