//! Whom a client is to the API server: tokens that change, plugins, and authorities that do not fit.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tenure_base_kubernetes::{KubernetesError, KubernetesErrorKind};
use tenure_test_servers::Kube;
use tokio::time::Instant;

use crate::fake::{FakeApi, Reply};
use crate::{PATIENCE, connect, created, start};

async fn refused(kubeconfig: PathBuf) -> KubernetesError {
    connect(kubeconfig).await.map(drop).expect_err("this must not be let in")
}

/// A kubeconfig of a user with these YAML members, who trusts the authority in this file.
fn kubeconfig(kube: &Kube, name: &str, ca: &Path, user: &str) -> PathBuf {
    let (port, ca) = (kube.port(), ca.display());
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: \"https://127.0.0.1:{port}\", certificate-authority: \"{ca}\"}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
         users: [{{name: u, user: {user}}}]\n"
    );
    let path = kube.folder().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// A plugin that prints `printed`, counts its runs in `runs`, and ends with `code`.
fn plugin(kube: &Kube, name: &str, printed: &str, code: i32) -> String {
    let (path, runs) = (kube.folder().join(name), kube.folder().join(format!("{name}.runs")));
    let script = format!("#!/bin/sh\necho >> {}\nprintf '%s' '{printed}'\nexit {code}\n", runs.display());
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    format!(
        "{{exec: {{apiVersion: client.authentication.k8s.io/v1beta1, interactiveMode: Never, command: \"{}\", \
         args: [--secret=hunter2], env: [{{name: SECRET, value: hunter2}}]}}}}",
        path.display()
    )
}

fn credential(token: &str) -> String {
    format!(
        r#"{{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{{"token":"{token}"}}}}"#
    )
}

/// A plugin's token and a token from a file both work; a plugin that fails, a token that nobody knows and a file that is
/// missing are told apart, and none of them is repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_come_from_plugins_and_files() {
    let Some(kube) = start() else { return };
    let ca = kube.ca();
    let user = plugin(&kube, "works", &credential("tok-admin"), 0);
    let client = connect(kubeconfig(&kube, "exec.yaml", &ca, &user)).await.unwrap();
    created(&client, "k").await;

    let file = kube.folder().join("token");
    std::fs::write(&file, "tok-admin").unwrap();
    let by_file = |path: &Path| format!("{{tokenFile: \"{}\"}}", path.display());
    let client = connect(kubeconfig(&kube, "file.yaml", &ca, &by_file(&file))).await.unwrap();
    created(&client, "l").await;

    let user = plugin(&kube, "fails", "hunter2", 3);
    let error = refused(kubeconfig(&kube, "fails.yaml", &ca, &user)).await;
    let text = error.to_string();
    assert!(text.contains("exit status: 3") && !text.contains("hunter2"), "{text}");
    assert_eq!(error.kind(), KubernetesErrorKind::Unavailable, "it may have some the next time");
    let user = plugin(&kube, "odd", "hunter2: [", 0);
    let error = refused(kubeconfig(&kube, "odd.yaml", &ca, &user)).await;
    let text = error.to_string();
    assert!(text.contains("printed no ExecCredential") && !text.contains("hunter2"), "{text}");
    assert_eq!(error.kind(), KubernetesErrorKind::Invalid);
    std::fs::remove_file(kube.folder().join("works")).unwrap();
    let error = refused(kube.folder().join("exec.yaml")).await;
    assert!(error.to_string().contains("cannot be started"), "{error}");
    assert_eq!(error.kind(), KubernetesErrorKind::Invalid, "it is not there");
    let error = refused(kubeconfig(&kube, "wrong.yaml", &ca, "{token: hunter2}")).await;
    let text = error.to_string();
    assert!(
        error.kind() == KubernetesErrorKind::Unauthenticated && text.contains("does not accept the credentials"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
    let missing = by_file(Path::new("/no/such/token"));
    let error = refused(kubeconfig(&kube, "missing.yaml", &ca, &missing)).await.to_string();
    assert!(error.contains("/no/such/token"), "{error}");
}

/// When the server stops accepting a plugin's token, the plugin is asked again, and not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_refused_is_fetched_anew() {
    let Some(mut kube) = start() else { return };
    let (known, printed) = (kube.folder().join("tokens.csv"), kube.folder().join("printed"));
    let before = std::fs::read_to_string(&known).unwrap();
    std::fs::write(&known, format!("{before}tok-old,old,9,\"system:masters\"\n")).unwrap();
    kube.kill();
    kube.start_again().unwrap();
    std::fs::write(&printed, credential("tok-old")).unwrap();
    // What stands in the script is closed by its quotes, so that the shell reads the file at each run.
    let user = plugin(&kube, "works", &format!("'\"$(cat {})\"'", printed.display()), 0);
    let runs = |kube: &Kube| std::fs::read_to_string(kube.folder().join("works.runs")).unwrap().lines().count();
    let client = connect(kubeconfig(&kube, "exec.yaml", &kube.ca(), &user)).await.unwrap();
    let first = runs(&kube);
    let mut object = created(&client, "k").await;
    client.replace(&object).await.unwrap();
    assert_eq!(runs(&kube), first, "a token that works is kept");

    std::fs::write(&known, before).unwrap();
    kube.kill();
    kube.start_again().unwrap();
    std::fs::write(&printed, credential("tok-admin")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    object.metadata.labels = Some([("tried".to_owned(), "again".to_owned())].into());
    while let Err(error) = client.replace(&object).await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(runs(&kube) > first && runs(&kube) <= first + 4, "{} runs", runs(&kube));
}

/// A plugin that has no credentials when the server refuses the old ones, played by a fake, makes calls unavailable and no
/// configuration wrong: it is asked again, not at every call, and then all is well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_fails_is_asked_again() {
    let refuses = Arc::new(AtomicBool::new(false));
    let refusing = Arc::clone(&refuses);
    let fake = FakeApi::start(move |asked| {
        let (status, body) = match asked {
            _ if refusing.load(Ordering::SeqCst) => (401, "{}"),
            _ if asked.contains("/leases/") => (404, r#"{"details": {"kind": "leases", "name": "k"}}"#),
            _ => (200, r#"{"metadata": {}, "items": []}"#),
        };
        Reply { status, body: body.to_owned(), goes_on: false }
    });
    let folder = tempfile::tempdir().unwrap();
    let [path, runs, fails] = ["plugin", "runs", "fails"].map(|name| folder.path().join(name));
    let script =
        format!("#!/bin/sh\necho >> {}\n[ -e {} ] && exit 1\n", runs.display(), fails.display()) + "printf '%s' '";
    std::fs::write(&path, script + &credential("tok") + "'\n").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let config = fake.kubeconfig();
    let exec = format!("exec: {{apiVersion: client.authentication.k8s.io/v1beta1, command: \"{}\"}}", path.display());
    std::fs::write(
        &config,
        std::fs::read_to_string(&config).unwrap().replace("user: {}", &format!("user: {{{exec}}}")),
    )
    .unwrap();
    let client = connect(config).await.unwrap();
    client.get("k").await.unwrap();

    std::fs::write(&fails, "").unwrap();
    refuses.store(true, Ordering::SeqCst);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = client.get("k").await.unwrap_err();
        match error.kind() {
            KubernetesErrorKind::Unavailable if error.to_string().contains("exit status: 1") => break,
            KubernetesErrorKind::Unauthenticated => assert!(Instant::now() < deadline, "{error}"),
            _ => panic!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let count = || std::fs::read_to_string(&runs).unwrap().lines().count();
    let before = count();
    for _ in 0..10 {
        assert_eq!(client.get("k").await.unwrap_err().kind(), KubernetesErrorKind::Unauthenticated);
    }
    assert_eq!(count(), before, "it was asked a moment ago");
    std::fs::remove_file(&fails).unwrap();
    refuses.store(false, Ordering::SeqCst);
    while count() == before {
        client.get("k").await.unwrap();
        assert!(Instant::now() < deadline, "it is not asked again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// An authority that did not sign the server's certificate is an error that says so and how to mend it, within seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_authority_is_told() {
    let Some(kube) = start() else { return };
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let ca = kube.folder().join("other.pem");
    std::fs::write(&ca, other.cert.pem()).unwrap();
    let error = refused(kubeconfig(&kube, "ca.yaml", &ca, "{token: tok-admin}")).await;
    let text = error.to_string();
    assert!(text.contains("certificate") && text.contains("certificate-authority"), "{text}");
    assert!(text.contains(&kube.port().to_string()), "{text}");

    // Nobody listens there.
    let way = kube.way().unwrap();
    let nobody = way.config().to_owned();
    drop(way);
    let error = refused(nobody).await;
    assert!(error.kind() == KubernetesErrorKind::Unavailable && error.to_string().contains("no connection"), "{error}");
}
