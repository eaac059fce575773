//! Who is measured on each server: ours, and what people use there, each as its documentation has it, with the ttl of this table where it can be told
//! one, and the shortest wait between tries that is sane.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tenure_test_servers::find;

use super::contender::Manner;
use super::options::Options;
use super::side::{Missing, Side, of_this_program, told};
use super::site::{Kubeconfig, Server, Site};
use super::ttl::TTL;
use crate::servers::Access;

/// The session of `etcdctl elect` lasts a minute, and no option changes that.
const ELECT_SESSION: Duration = Duration::from_secs(60);
const ELECT_LANES: u32 = 20;

/// Ours first, then the peers on the same server.
pub(super) fn of<'a>(site: &'a Site, options: &Options) -> Vec<Result<Side<'a>, Missing>> {
    let how = "library, defaults; killed: tenure run, to the first instruction of the other's command";
    let ours = Side { is_ours: true, ..of_this_program("Tenure", how, "ours") };
    let peers = match &site.server {
        Server::Sqlite(_) | Server::Firestore(_) => Vec::new(),
        Server::Redis(_) => {
            let how = "looks again after up to 10 ms; extended by its caller every ttl/3";
            vec![Ok(of_this_program("rslock 0.10", how, "rslock")), redis_lock(options)]
        }
        Server::Etcd(_) => vec![elect(), lock()],
        Server::Postgres(_) => {
            let how = "tokio-postgres; the waiting session waits inside the server; there is no ttl";
            vec![Ok(of_this_program("pg_advisory_lock", how, "advisory"))]
        }
        Server::Kubernetes(_) => vec![client_go()],
    };
    std::iter::once(Ok(ours)).chain(peers).collect()
}

fn redis_lock<'a>(options: &Options) -> Result<Side<'a>, Missing> {
    let (name, how) = ("python-redis-lock 4.0", "auto_renewal=True; waits in BLPOP");
    let Some(python) = options.python() else {
        let why = "cargo xtask bench handoff sets it up, or --python names a Python 3 that has it".to_owned();
        return Err(Missing { name, why });
    };
    Ok(told(name, how, move |access: &Access, key: &str| {
        let mut command = Command::new(&python);
        command.args(["-c", include_str!("../../peers/redis_lock.py"), &access.url, key]);
        command.arg(TTL.as_secs().to_string());
        Ok(command)
    }))
}

fn elect<'a>() -> Result<Side<'a>, Missing> {
    let how = "its session lasts 60 s, which no option changes; released by SIGINT";
    let side = etcdctl("etcdctl elect", how, &["elect"], &["candidate"])?;
    Ok(Side { patience: ELECT_SESSION * 3 / 2, lanes: ELECT_LANES, ..side })
}

fn lock<'a>() -> Result<Side<'a>, Missing> {
    etcdctl("etcdctl lock", "--ttl 3; released by SIGINT", &["lock", "--ttl", "3"], &[])
}

/// Prints the name of its key, which begins with the election's, once it is elected.
fn etcdctl<'a>(
    name: &'static str,
    how: &'static str,
    before: &'static [&'static str],
    behind: &'static [&'static str],
) -> Result<Side<'a>, Missing> {
    let program = find("etcdctl", "install the Debian package etcd-client");
    let program = program.map_err(|missing| Missing { name, why: missing.to_string() })?;
    let command = move |access: &Access, key: &str| {
        let mut command = Command::new(&program);
        let endpoint = access.url.trim_start_matches("etcd://");
        command.env("ETCDCTL_API", "3").args(["--endpoints", endpoint]).args(before).arg(key).args(behind);
        Ok(command)
    };
    Ok(Side { manner: Manner::Started { elected: "bench-", release: Signal::INT }, ..told(name, how, command) })
}

fn client_go<'a>() -> Result<Side<'a>, Missing> {
    let name = "client-go 1.20";
    let how = "LeaseDuration 3 s, RenewDeadline 2 s, RetryPeriod 100 ms, ReleaseOnCancel";
    let program = find("client-go-elector", "build a leaderelection.RunOrDie over client-go, beside kube-apiserver");
    let program = program.map_err(|missing| Missing { name, why: missing.to_string() })?;
    let command = move |access: &Access, key: &str| {
        let mut command = Command::new(&program);
        let Kubeconfig { server, token } = Kubeconfig::read(access)?;
        command.args(["-server", &server, "-token", &token, "-namespace", "default", "-lease", key]);
        command.args(["-id", &format!("candidate-{}", crate::clock::shared_ns()), "-release"]);
        command.args(["-duration", "3s", "-deadline", "2s", "-retry", "100ms"]);
        Ok(command)
    };
    let manner = Manner::Started { elected: r#""event":"leading""#, release: Signal::TERM };
    Ok(Side { manner, ..told(name, how, command) })
}
