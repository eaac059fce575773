//! Which cluster, as whom, and which namespace: from code or from `kubernetes:NAMESPACE[?option=value&..]`.

use std::path::PathBuf;
use std::time::Duration;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use tenure_base_net::{durations, query};

use crate::error::{KubernetesError, KubernetesErrorKind, chain};
use crate::object_name::is_namespace;

/// Where the API server is, and who this is to it. Made by [`Cluster::default`], or from a URL by [`Cluster::parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The namespace; `None` for that of the context, in a pod for the pod's own.
    pub namespace: Option<String>,
    /// The kubeconfig; `None` to look for one where kubectl does, and for what a pod is given where there is none.
    pub kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig; `None` for its current one.
    pub context: Option<String>,
    /// How long the API server may take to answer a call; this client waits a second more.
    pub timeout: Duration,
}

impl Default for Cluster {
    fn default() -> Self {
        Cluster { namespace: None, kubeconfig: None, context: None, timeout: Duration::from_secs(4) }
    }
}

impl Cluster {
    /// Reads a `kubernetes:` URL. Options of the query that are not of the cluster are handed to `other`, by name and value; it
    /// answers whether there is such a one. The error says what is wrong and what would be right; nothing is repeated that may
    /// be a secret.
    pub fn parse(url: &str, mut other: impl FnMut(&str, &str) -> bool) -> Result<Cluster, KubernetesError> {
        let Some(rest) = url.strip_prefix("kubernetes:") else {
            return Err(KubernetesError::invalid("a URL begins with kubernetes:, as kubernetes:NAMESPACE"));
        };
        let (namespace, options) = rest.split_once('?').unwrap_or((rest, ""));
        let namespace = namespace.trim_start_matches('/').trim_end_matches('/');
        if !namespace.is_empty() && !is_namespace(namespace) {
            let right =
                "write kubernetes:NAMESPACE, small letters, digits and dashes, or kubernetes: for the context's own";
            return Err(KubernetesError::invalid(format!("this is no namespace; {right}")));
        }
        let namespace = (!namespace.is_empty()).then(|| namespace.to_owned());
        let mut cluster = Cluster { namespace, ..Cluster::default() };
        for (name, value) in query::pairs(options) {
            let Some(value) = value.filter(|value| !value.is_empty()) else {
                let name = query::shown_name(name);
                return Err(KubernetesError::invalid(format!("option {name} has no usable value")));
            };
            match name {
                "kubeconfig" => cluster.kubeconfig = Some(PathBuf::from(&*value)),
                "context" => cluster.context = Some(value.into_owned()),
                "timeout" => cluster.timeout = timeout(&value)?,
                _ if other(name, &value) => {}
                _ => {
                    let (name, known) = (query::shown_name(name), "there are kubeconfig, context, prefix and timeout");
                    return Err(KubernetesError::invalid(format!("no option {name:?}; {known}, as timeout=4s")));
                }
            }
        }
        Ok(cluster)
    }

    /// Finds the server and the credentials, and reads their files. Asks no server and runs no plugin.
    pub(crate) async fn find(&self) -> Result<Config, KubernetesError> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let found = match (&self.kubeconfig, &self.context) {
            (Some(path), _) => {
                let file = Kubeconfig::read_from(path).map_err(|error| self.unusable(&error))?;
                Config::from_custom_kubeconfig(file, &options).await.map_err(|error| self.unusable(&error))
            }
            (None, Some(_)) => Config::from_kubeconfig(&options).await.map_err(|error| self.unusable(&error)),
            // A kubeconfig that is there and cannot be used is not passed over: the pod's own account may be another user.
            (None, None) => match Config::from_kubeconfig(&options).await {
                Ok(config) => Ok(config),
                Err(error) if is_missing(&error) => Config::incluster().map_err(|_| {
                    let places = "KUBECONFIG, ~/.kube/config, or the service account of a pod";
                    KubernetesError::invalid(format!(
                        "no cluster is named: there is none of {places}; set one, or ?kubeconfig="
                    ))
                }),
                Err(error) => Err(self.unusable(&error)),
            },
        };
        let mut config = found?;
        if config.proxy_url.is_some() {
            let message = "the kubeconfig or HTTPS_PROXY names a proxy, and this store uses none; except the API server \
                           from it with NO_PROXY";
            return Err(KubernetesError::new(KubernetesErrorKind::Unsupported, message));
        }
        if let Some(namespace) = &self.namespace {
            config.default_namespace.clone_from(namespace);
        }
        Ok(config)
    }

    /// What is wrong with the kubeconfig. Of a file that is not YAML nothing is repeated, for it may be a token.
    fn unusable(&self, error: &KubeconfigError) -> KubernetesError {
        let file = self.kubeconfig.as_ref().map_or("the kubeconfig".to_owned(), |path| path.display().to_string());
        let why = match error {
            KubeconfigError::Parse(_) => "it is not a kubeconfig in YAML; `kubectl config view` says where".to_owned(),
            error => chain(error),
        };
        KubernetesError::invalid(format!("{file} cannot be used: {why}"))
    }
}

fn is_missing(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(error, _) => error.kind() == std::io::ErrorKind::NotFound,
        KubeconfigError::CurrentContextNotSet => std::env::var_os("KUBECONFIG").is_none(),
        _ => false,
    }
}

fn timeout(value: &str) -> Result<Duration, KubernetesError> {
    let read = durations::parse(value).map_err(|why| KubernetesError::invalid(format!("timeout: {why}")))?;
    match (Duration::from_millis(100)..=Duration::from_secs(30)).contains(&read) {
        true => Ok(read),
        false => Err(KubernetesError::invalid(format!("timeout={value}: expected a time from 100ms to 30s"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Cluster, String> {
        Cluster::parse(url, |name, _| name == "prefix").map_err(|error| error.to_string())
    }

    /// A URL names the namespace, or leaves it to the context, and options.
    #[test]
    fn urls_name_a_namespace_and_options() {
        assert_eq!(parse("kubernetes:"), Ok(Cluster::default()));
        assert_eq!(parse("kubernetes:default").unwrap().namespace.as_deref(), Some("default"));
        assert_eq!(parse("kubernetes://team-a/").unwrap().namespace.as_deref(), Some("team-a"));
        let cluster = parse("kubernetes:a?context=b%40c&kubeconfig=/x/y&prefix=p/&timeout=3s").unwrap();
        assert_eq!(cluster.context.as_deref(), Some("b@c"));
        assert_eq!((cluster.kubeconfig, cluster.timeout), (Some("/x/y".into()), Duration::from_secs(3)));
    }

    /// Each refusal says what is wrong and what would be right, and repeats nothing that may be a secret.
    #[test]
    fn wrong_urls_are_refused_with_the_remedy() {
        assert!(parse("kubernetes:Team").unwrap_err().contains("kubernetes:NAMESPACE"));
        assert!(parse("kubernetes:a.b").unwrap_err().contains("no namespace"));
        assert!(parse("kubernetes:a?contxt=x").unwrap_err().contains("context"));
        assert!(parse("kubernetes:a?prefix=").unwrap_err().contains("prefix"));
        assert!(parse("kubernetes:a?timeout=4").unwrap_err().contains("unit"));
        assert!(parse("kubernetes:a?timeout=1h").unwrap_err().contains("30s"));
        assert!(!parse("kubernetes:user:hunter2@host").unwrap_err().contains("hunter2"));
    }

    /// A kubeconfig that is missing, no YAML, or lacks the context is named; nothing that stands in it is repeated.
    #[tokio::test]
    async fn kubeconfigs_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let cluster = |context: Option<&str>| Cluster {
            kubeconfig: Some(path.clone()),
            context: context.map(str::to_owned),
            ..Cluster::default()
        };
        let told = async |cluster: Cluster| cluster.find().await.unwrap_err().to_string();
        assert!(told(cluster(None)).await.contains("No such file"));
        std::fs::write(&path, "users:\n- name: a\n  user: {token: [hunter2}\n").unwrap();
        let error = told(cluster(None)).await;
        assert!(error.contains("kubeconfig in YAML") && !error.contains("hunter2"), "{error}");
        std::fs::write(&path, "users:\n- name: a\n  user: {token: hunter2}\n").unwrap();
        let error = told(cluster(Some("elsewhere"))).await;
        assert!(error.contains("elsewhere") && !error.contains("hunter2"), "{error}");
    }
}
