//! Channels that cannot be joined: named with the reason, waited for or not as `--ready` says, and read once they are back.

use serde_json::{Value, json};
use tenure_twitch_sim::{Closed, Fault, SimConfig};

use crate::fleet::{Fleet, Instance, quick, tenure, until};

/// `[{channel, reason}]` as JSON.
fn listed(channels: &[(&str, &str)]) -> Value {
    channels.iter().map(|(channel, reason)| json!({ "channel": channel, "reason": reason })).collect()
}

/// Waits until both `/readyz` and `/_debug/twitch` list these channels, and `/readyz` answers this code.
async fn shows(instance: &Instance, code: u16, channels: &[(&str, &str)]) {
    let expected = listed(channels);
    until(&format!("{code} and {expected}"), async || {
        let (Some((answered, ready)), Some((_, page))) =
            (instance.get("/readyz").await, instance.get("/_debug/twitch").await)
        else {
            return false;
        };
        answered == code && ready["channels"] == expected && page["channels"] == expected
    })
    .await;
}

/// A suspended channel, a renamed one and one that bans do not keep an instance from being ready that asks for what is
/// possible, and do keep one that asks for all; both name each with its reason. A channel that comes back is joined and
/// named no longer; one that closes while it is read is named.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_joined_is_named_and_not_waited_for() {
    let names = |name: &str| vec![name.to_owned()];
    let (suspended, renamed, banned) = (names("gone"), names("once"), names("shut"));
    let mut fleet = Fleet::new(SimConfig { suspended, renamed, banned, ..quick(2, 50.0) }, "5s").await;
    fleet.channels.extend(["gone", "once", "shut"].map(str::to_owned));
    let all = fleet.instance("all");
    let possible = fleet.instance_under("possible", &[], &[("TENURE_READY", "possible")]);
    let three = [("gone", "suspended"), ("once", "no_answer"), ("shut", "banned")];
    shows(&possible, 200, &three).await;
    shows(&all, 503, &three).await;
    let (_, ready) = all.get("/readyz").await.unwrap();
    assert_eq!(ready["status"], "not_ready");
    let why = "not every channel is joined: gone (suspended), once (no_answer), shut (banned)";
    assert_eq!(ready["reasons"], json!([why]));
    let (_, ready) = possible.get("/readyz").await.unwrap();
    assert_eq!((&ready["status"], &ready["reasons"]), (&"ready".into(), &json!([])));
    for (instance, line) in [(&possible, "tenure_ready 1\n"), (&all, "tenure_ready 0\n")] {
        let (_, metrics) = instance.get_answer("/metrics").await.unwrap();
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
    let metric = async |reason: &str, count: u32| {
        let expected = format!("tenure_irc_channels_unplaced{{reason=\"{reason}\"}} {count}\n");
        let (_, metrics) = possible.get_answer("/metrics").await.unwrap();
        assert!(metrics.contains(&expected), "no {expected} in\n{metrics}");
    };
    for (reason, count) in [("suspended", 1), ("no_answer", 1), ("banned", 1), ("room_limit", 0), ("join_budget", 0)] {
        metric(reason, count).await;
    }

    // One is back, and one is suspended while it is read: the next JOIN tells why.
    fleet.sim.fault(Fault::OpenRoom { channel: "once".to_owned() }).unwrap();
    let channel = "sim_channel_002".to_owned();
    fleet.sim.fault(Fault::CloseRoom { channel, how: Closed::Suspended, for_ms: None }).unwrap();
    let others = [three[0], three[2], ("sim_channel_002", "suspended")];
    shows(&possible, 200, &others).await;
    shows(&all, 503, &others).await;
    // Ready for its channels, while the JOIN of the one that is back may still be under way.
    let give_up = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let (_, page) = possible.get("/_debug/twitch").await.unwrap();
        if page["joinedChannels"] == json!(["once", "sim_channel_001"]) {
            break;
        }
        assert!(tokio::time::Instant::now() < give_up, "{page}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    metric("no_answer", 0).await;
    // Each change is told once.
    let log = possible.log();
    let told = |message: &str, channel: &str| {
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|line| line["message"].as_str().is_some_and(|said| said.starts_with(message)))
            .filter(|line| line["channel"] == channel)
            .count()
    };
    for (channel, changes) in [("gone", 1), ("once", 1), ("shut", 1), ("sim_channel_002", 2)] {
        assert_eq!(told("channel cannot be joined", channel), changes, "{channel} in\n{log}");
        let back = usize::from(channel == "once");
        assert_eq!(told("channel could not be joined before", channel), back, "{channel} in\n{log}");
    }
}

/// The setting has a flag, a name in the environment and a key in the file, and its source is shown; another value is refused
/// with the two that there are.
#[test]
fn ready_is_a_setting() {
    let check = |args: &[&str], env: &[(&str, &str)]| {
        let given = ["ingest", "--channel", "x", "--check"];
        let output = tenure().args(given).args(args).envs(env.iter().copied()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ingest.toml");
    std::fs::write(&file, "ready = \"possible\"\n").unwrap();
    let config = ["--config", file.to_str().unwrap()];
    for (args, env, source) in [
        (&["--ready", "possible"][..], &[][..], "flag"),
        (&[], &[("TENURE_READY", "possible")], "environment TENURE_READY"),
        (&config, &[], "file "),
    ] {
        let (code, out, err) = check(args, env);
        assert!(out.contains(&format!("ready = \"possible\"  # {source}")), "{out}");
        assert_eq!(code, Some(0), "{err}");
    }
    assert!(check(&[], &[]).1.contains("ready = \"all\"  # default"));
    let (code, _, err) = check(&["--ready", "most"], &[]);
    assert_eq!(code, Some(64));
    for words in ["ready: \"most\"", "\"all\"", "\"possible\"", "flag"] {
        assert!(err.contains(words), "{words}: {err}");
    }
}
