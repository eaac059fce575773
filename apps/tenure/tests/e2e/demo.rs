//! The demo: everything at once.

use serde_json::Value;

use crate::fleet::tenure;

/// A short demo inflicts all six faults, and loses and doubles nothing.
#[test]
fn the_demo_loses_and_doubles_nothing() {
    let output = tenure().args(["demo", "--seconds", "10", "--rate", "500", "--json"]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let summary: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((&summary["lost"], &summary["doubled"]), (&0.into(), &0.into()), "{summary}");
    assert!(summary["sent"].as_u64() > Some(4_000) && summary["sent"] == summary["published"], "{summary}");
    let kinds: Vec<_> = summary["faults"].as_array().unwrap().iter().map(|f| f["kind"].as_str().unwrap().to_owned()).collect();
    let all = ["worker_killed", "host_lost", "paused", "rolling_restart", "connection_cut", "bus_locked"];
    assert_eq!(kinds, all);
    for takeover in summary["takeovers"].as_array().unwrap() {
        assert!(takeover["cause"].is_string() && takeover["ms"].is_u64(), "{takeover}");
    }
    std::fs::remove_dir_all(summary["files"].as_str().unwrap()).unwrap();
}
