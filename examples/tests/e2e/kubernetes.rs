//! The examples over Kubernetes, by their URL alone.

use rustix::process::Signal;
use tenure_test_servers::{Kube, KubePrograms, or_skip};

use crate::terminal::{Terminal, until};
use crate::{CALLBACKS, LEADER_ELECTION};

/// One member of a Lease's spec, as kubectl prints it.
fn shown(kube: &Kube, namespace: &str, name: &str, member: &str) -> String {
    let path = format!("jsonpath={{.spec.{member}}}");
    let output = kube.kubectl(["get", "lease", name, "-n", namespace, "-o", &path]).unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The sample elects over Kubernetes, and one that is killed is followed. A component's lease name and namespace are those of
/// its Lease, which names its identity; a replica that ends hands over at once.
#[test]
fn examples_run_over_kubernetes() {
    let Some(programs) = or_skip("examples over kubernetes", false, KubePrograms::find()) else { return };
    let kube = programs.start().unwrap();
    let url = |namespace: &str| format!("kubernetes:{namespace}?kubeconfig={}", kube.admin().display());
    let store = url("default");
    let sample = |name: &str| {
        let args = ["--store", &store, "--instance-id", name, "--lease-duration-seconds", "3"];
        Terminal::open(LEADER_ELECTION, &args, &["--checks", "1", "--check-interval-seconds", "0.1"])
    };
    let mut anna = sample("anna");
    anna.wait_for("Leading: batch 2");
    let mut bert = sample("bert");
    bert.wait_for("Following: anna leads");
    anna.kill();
    bert.wait_for("Leading:");
    drop((anna, bert));

    assert!(kube.kubectl(["create", "namespace", "ops"]).unwrap().status.success());
    let store = url("");
    let replica = |name: &str| {
        let args = ["--store", &store, "--identity", name, "--lease-name", "my-controller", "--lease-namespace", "ops"];
        Terminal::open(
            CALLBACKS,
            &args,
            &["--lease-duration", "3s", "--renew-deadline", "2s", "--retry-period", "500ms"],
        )
    };
    let mut one = replica("pod-1");
    one.wait_for("became leader");
    assert_eq!(shown(&kube, "ops", "my-controller", "holderIdentity"), "pod-1");
    assert_eq!(shown(&kube, "ops", "my-controller", "leaseDurationSeconds"), "3");
    let mut two = replica("pod-2");
    two.wait_for("new leader observed");
    assert!(one.end(Signal::TERM).success());
    two.wait_for("became leader");
    until("the Lease to name pod-2", || shown(&kube, "ops", "my-controller", "holderIdentity") == "pod-2");
    assert_eq!(shown(&kube, "ops", "my-controller", "leaseTransitions"), "1");
}
