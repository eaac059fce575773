//! Which cluster, as whom, and which namespace: from code or from `kubernetes:NAMESPACE[?option=value&..]`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use tenure_base_net::{durations, query};
use tenure_store::{StoreError, StoreErrorKind};

/// Where the Leases are. Made by [`KubernetesConfig::default`] or from a URL by `parse`.
///
/// URL forms: `kubernetes:NAMESPACE`, and `kubernetes:` for the namespace of the kubeconfig's context, in a pod for the
/// pod's own. Options: `kubeconfig` (a file, in place of `KUBECONFIG`, `~/.kube/config` and what a pod is given), `context`
/// (of that file), `prefix` (stands before each key) and `timeout` of a call (100ms to 30s).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// The namespace; `None` for that of the context or the pod.
    pub namespace: Option<String>,
    /// The kubeconfig; `None` to look for one where kubectl does, and for what a pod is given where there is none.
    pub kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig; `None` for its current one.
    pub context: Option<String>,
    /// Stands before each key, so that several programs can share a namespace.
    pub prefix: String,
    /// How long the API server may take to answer a call.
    pub timeout: Duration,
}

impl Default for KubernetesConfig {
    fn default() -> Self {
        let timeout = Duration::from_secs(4);
        KubernetesConfig { namespace: None, kubeconfig: None, context: None, prefix: String::new(), timeout }
    }
}

impl KubernetesConfig {
    /// Finds the cluster and the credentials, and reads their files. Asks no server and runs no plugin.
    pub(crate) async fn cluster(&self) -> Result<Config, StoreError> {
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
                    invalid(format!(
                        "kubernetes: no cluster is named: there is none of {places}; set one, or ?kubeconfig="
                    ))
                }),
                Err(error) => Err(self.unusable(&error)),
            },
        };
        let mut config = found?;
        if let Some(namespace) = &self.namespace {
            config.default_namespace.clone_from(namespace);
        }
        Ok(config)
    }

    /// What is wrong with the kubeconfig. Of a file that is not YAML nothing is repeated, for it may be a token.
    fn unusable(&self, error: &KubeconfigError) -> StoreError {
        let file = self.kubeconfig.as_ref().map_or("the kubeconfig".to_owned(), |path| path.display().to_string());
        let why = match error {
            KubeconfigError::Parse(_) => "it is not a kubeconfig in YAML; `kubectl config view` says where".to_owned(),
            error => chain(error),
        };
        invalid(format!("kubernetes: {file} cannot be used: {why}"))
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

/// The error with what it came from, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

impl FromStr for KubernetesConfig {
    type Err = StoreError;

    fn from_str(url: &str) -> Result<Self, StoreError> {
        let Some(rest) = url.strip_prefix("kubernetes:") else {
            return Err(invalid("a URL of this store begins with kubernetes:, as kubernetes:NAMESPACE".to_owned()));
        };
        let (namespace, options) = rest.split_once('?').unwrap_or((rest, ""));
        let namespace = namespace.trim_start_matches('/').trim_end_matches('/');
        if !namespace.is_empty() && !is_label(namespace) {
            let right =
                "write kubernetes:NAMESPACE, small letters, digits and dashes, or kubernetes: for the context's own";
            return Err(invalid(format!("kubernetes: this is no namespace; {right}")));
        }
        let namespace = (!namespace.is_empty()).then(|| namespace.to_owned());
        let mut config = KubernetesConfig { namespace, ..KubernetesConfig::default() };
        for (name, value) in query::pairs(options) {
            let Some(value) = value.filter(|value| !value.is_empty()) else {
                return Err(invalid(format!("kubernetes: option {} has no usable value", query::shown_name(name))));
            };
            match name {
                "kubeconfig" => config.kubeconfig = Some(PathBuf::from(&*value)),
                "context" => config.context = Some(value.into_owned()),
                "prefix" => config.prefix = value.into_owned(),
                "timeout" => config.timeout = timeout(&value)?,
                _ => {
                    let name = query::shown_name(name);
                    let known = "there are kubeconfig, context, prefix and timeout, as timeout=4s";
                    return Err(invalid(format!("kubernetes: no option {name:?}; {known}")));
                }
            }
        }
        Ok(config)
    }
}

fn timeout(value: &str) -> Result<Duration, StoreError> {
    let read = durations::parse(value).map_err(|why| invalid(format!("kubernetes: timeout: {why}")))?;
    match (Duration::from_millis(100)..=Duration::from_secs(30)).contains(&read) {
        true => Ok(read),
        false => Err(invalid(format!("kubernetes: timeout={value}: expected a time from 100ms to 30s"))),
    }
}

/// Whether the text is an RFC 1123 label, as names of namespaces are.
fn is_label(text: &str) -> bool {
    text.len() <= 63 && crate::names::is_name(text) && !text.contains('.')
}

fn invalid(message: String) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<KubernetesConfig, String> {
        url.parse().map_err(|error: StoreError| error.to_string())
    }

    /// A URL names the namespace, or leaves it to the context, and options.
    #[test]
    fn urls_name_a_namespace_and_options() {
        assert_eq!(parse("kubernetes:"), Ok(KubernetesConfig::default()));
        assert_eq!(parse("kubernetes:default").unwrap().namespace.as_deref(), Some("default"));
        assert_eq!(parse("kubernetes://team-a/").unwrap().namespace.as_deref(), Some("team-a"));
        let config = parse("kubernetes:a?context=b%40c&kubeconfig=/x/y&prefix=p/&timeout=3s").unwrap();
        assert_eq!((config.context.as_deref(), config.prefix.as_str()), (Some("b@c"), "p/"));
        assert_eq!((config.kubeconfig, config.timeout), (Some("/x/y".into()), Duration::from_secs(3)));
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
        let config = |context: Option<&str>| KubernetesConfig {
            kubeconfig: Some(path.clone()),
            context: context.map(str::to_owned),
            ..KubernetesConfig::default()
        };
        let told = async |config: KubernetesConfig| config.cluster().await.unwrap_err().to_string();
        assert!(told(config(None)).await.contains("No such file"));
        std::fs::write(&path, "users:\n- name: a\n  user: {token: [hunter2}\n").unwrap();
        let error = told(config(None)).await;
        assert!(error.contains("kubeconfig in YAML") && !error.contains("hunter2"), "{error}");
        std::fs::write(&path, "users:\n- name: a\n  user: {token: hunter2}\n").unwrap();
        let error = told(config(Some("elsewhere"))).await;
        assert!(error.contains("elsewhere") && !error.contains("hunter2"), "{error}");
    }
}
