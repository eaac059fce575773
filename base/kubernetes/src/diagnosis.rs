//! What the API server is and does not allow, for an operator who asks.

use std::time::{Duration, SystemTime};

use tenure_base_net::diagnosis::{ClockReading, Diagnosis};

use crate::client::{Client, PROBE};
use crate::error::KubernetesError;
use crate::verb::Verb;

/// The server's clock is read from the head of an answer, which tells the second.
const SECOND: Duration = Duration::from_secs(1);

impl Client {
    /// Asks for an object, for the server's clock, and for its version; and tells which right was missing when this client was
    /// made. Nothing is changed.
    pub async fn diagnose(&self) -> Result<Diagnosis, KubernetesError> {
        let mut found = Diagnosis::default();
        let asked = SystemTime::now();
        let answer = self.get(PROBE).await?;
        let read = |micros| ClockReading::new(micros, SECOND, asked, SystemTime::now());
        found.clock = answer.server_micros.map(read);
        found.version = self.connection.version().await.map(|version| format!("Kubernetes {version}"));
        let (namespace, of) = (self.namespace(), &self.connection.resource);
        let (plural, verbs) = (&of.plural, "get,list,watch,create,update,delete");
        let mend = format!(
            "kubectl -n {namespace} create role tenure --verb={verbs} --resource={plural}.{}, and bind it to this user or \
             service account (kubectl create rolebinding)",
            of.group
        );
        let lacks =
            |what: &str, cost: &str| format!("kubernetes: may not {what} {plural} in namespace {namespace}: {cost}");
        match self.missing() {
            Some(Verb::List) => found.weak(lacks("list", "there are neither lists nor hints"), mend),
            Some(verb) => found.weak(lacks(verb.name(), "a release is noticed late"), mend),
            None => found.well(format!("kubernetes: may get, list and watch {plural} in namespace {namespace}")),
        }
        Ok(found)
    }
}
