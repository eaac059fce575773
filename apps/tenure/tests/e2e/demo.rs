//! The demo: everything at once.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::fleet::{alive, bodies, send, tenure, until};
use crate::servers::Servers;

/// A short demo inflicts all six faults, and loses and doubles nothing.
#[test]
fn the_demo_loses_and_doubles_nothing() {
    let output = tenure().args(["demo", "--seconds", "10", "--rate", "500", "--json"]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let summary: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((&summary["lost"], &summary["doubled"]), (&0.into(), &0.into()), "{summary}");
    assert!(summary["sent"].as_u64() > Some(4_000) && summary["sent"] == summary["published"], "{summary}");
    assert_eq!(summary["gaps"], 0, "warm standbys leave no gap: {summary}");
    let kinds: Vec<_> =
        summary["faults"].as_array().unwrap().iter().map(|f| f["kind"].as_str().unwrap().to_owned()).collect();
    let all = ["worker_killed", "host_lost", "paused", "rolling_restart", "connection_cut", "bus_locked"];
    assert_eq!(kinds, all);
    for takeover in summary["takeovers"].as_array().unwrap() {
        assert!(takeover["cause"].is_string() && takeover["ms"].is_u64(), "{takeover}");
    }
    // The file holds what the summary says, no more and no less.
    let rows = bodies(&std::path::Path::new(summary["files"].as_str().unwrap()).join("chat.db")).len() as u64;
    let told = ["published", "room_states", "gaps"].map(|name| summary[name].as_u64().unwrap());
    assert_eq!(rows, told.iter().sum::<u64>(), "{summary}");
    std::fs::remove_dir_all(summary["files"].as_str().unwrap()).unwrap();
}

/// Over Redis and NATS the same is played, and both servers are killed and started again in the middle.
#[test]
fn the_demo_over_servers_that_restart_loses_and_doubles_nothing() {
    let Some(mut servers) = Servers::start("e2e demo over servers", "2.9", true) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (redis, nats) = (folder.path().join("redis"), folder.path().join("nats"));
    // The demo's command asks by a file, and goes on when the file is gone.
    let ask = |file: &Path| format!("touch {0}; while [ -e {0} ]; do sleep 0.01; done", file.display());
    let mut demo = tenure()
        .args(["demo", "--seconds", "14", "--rate", "400", "--json"])
        .args(["--store", &servers.redis.url(), "--bus", &servers.nats.url()])
        .args(["--restart-store", &ask(&redis), "--restart-bus", &ask(&nats)])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    while demo.try_wait().unwrap().is_none() {
        if redis.exists() {
            servers.redis.kill();
            std::thread::sleep(Duration::from_millis(500));
            servers.redis.start_again().unwrap();
            std::fs::remove_file(&redis).unwrap();
        }
        if nats.exists() {
            servers.nats.server().kill();
            std::thread::sleep(Duration::from_millis(500));
            servers.nats.start_again().unwrap();
            std::fs::remove_file(&nats).unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = demo.wait_with_output().unwrap();
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{summary}");
    assert_eq!((&summary["lost"], &summary["doubled"]), (&0.into(), &0.into()), "{summary}");
    assert!(summary["sent"].as_u64() > Some(4_000) && summary["sent"] == summary["published"], "{summary}");
    let kinds: Vec<_> = summary["faults"].as_array().unwrap().iter().map(|f| f["kind"].as_str().unwrap()).collect();
    assert!(kinds.ends_with(&["connection_cut", "store_restarted", "bus_restarted"]), "{kinds:?}");
    std::fs::remove_dir_all(summary["files"].as_str().unwrap()).unwrap();
}

/// A demo that is broken off leaves no process behind, whichever way it ends and even while an instance is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn a_demo_that_is_broken_off_leaves_nothing_behind() {
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let folder = tempfile::tempdir().unwrap();
        let mut demo = tenure()
            .args(["demo", "--seconds", "60", "--rate", "100", "--channels", "2", "--json"])
            .env("TMPDIR", folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let place = format!("TENURE_BUS=sqlite:{}", folder.path().display());
        until("three instances", async || processes_with(&place).len() == 6).await;
        let stopped = processes_with(&place)[0];
        send(stopped, Signal::STOP);
        // Once it has stopped, the kernel continues it when the demo goes: its process group is orphaned then.
        until("the stop", async || is_stopped(stopped)).await;
        send(i32::try_from(demo.id()).unwrap(), signal);
        let mut status = None;
        until("the demo's end", async || {
            status = demo.try_wait().unwrap();
            status.is_some()
        })
        .await;
        assert_eq!(status.unwrap().signal(), Some(signal.as_raw()));
        until("the end of all it started", async || processes_with(&place).is_empty()).await;
    }
}

pub(crate) fn is_stopped(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
}

/// The processes whose environment holds this, without zombies.
pub(crate) fn processes_with(name: &str) -> Vec<i32> {
    let numbers = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let names = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(name)
    };
    numbers.filter(|pid| names(pid) && alive(*pid)).collect()
}
