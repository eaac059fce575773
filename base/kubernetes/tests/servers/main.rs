//! What the client does with a real API server, and with servers that the test plays.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bounds;
mod changes;
mod credentials;
mod fake;
mod outcomes;

use std::path::PathBuf;
use std::time::Duration;

use tenure_base_kubernetes::{Changed, Client, Cluster, KubernetesError, Object, leases};
use tenure_test_servers::{Kube, KubePrograms, or_skip};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// The label of the objects of these tests.
const LABEL: &str = "team/of=a";

/// A server, or a line that says why this test is skipped.
fn start() -> Option<Kube> {
    Some(or_skip("kubernetes client", false, KubePrograms::find())?.start().unwrap())
}

fn cluster(kubeconfig: PathBuf) -> Cluster {
    Cluster { kubeconfig: Some(kubeconfig), ..Cluster::default() }
}

async fn connect(kubeconfig: PathBuf) -> Result<Client, KubernetesError> {
    Client::connect(&cluster(kubeconfig), leases(), LABEL).await
}

/// A Lease of this name, with the label.
fn object(name: &str) -> Object {
    let mut object = Object::new(name, &leases());
    let (label, value) = LABEL.split_once('=').unwrap();
    object.metadata.labels = Some([(label.to_owned(), value.to_owned())].into());
    object.data = serde_json::json!({"spec": {"holderIdentity": "x"}});
    object
}

/// Makes it, and tells it as it is.
async fn created(client: &Client, name: &str) -> Object {
    done(client.create(&object(name)).await.unwrap())
}

fn done(changed: Changed) -> Object {
    match changed {
        Changed::Done(object) => *object,
        Changed::Conflict => panic!("a conflict"),
    }
}
