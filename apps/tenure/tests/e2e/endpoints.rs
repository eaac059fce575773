//! The endpoints: their shapes, and what they say as things change.

use tenure_twitch_sim::Fault;

use crate::fleet::{Fleet, quick, until};

/// Health, readiness, leadership, debug snapshots and metrics have the shapes that operators rely on.
#[tokio::test(flavor = "multi_thread")]
async fn endpoints_tell_the_state() {
    let fleet = Fleet::new(quick(2, 100.0), "5s").await;
    let a = fleet.instance("a");
    a.ready().await;
    let leader = fleet.leader().await;
    let b = fleet.instance("b");
    b.ready().await;
    for path in ["/healthz", "/livez"] {
        assert_eq!(a.get(path).await.unwrap().0, 200, "{path}");
    }
    until("a's leadership at its endpoint", async || a.get("/leader").await.is_some_and(|(code, _)| code == 200)).await;
    let (_, at_a) = a.get("/leader").await.unwrap();
    assert_eq!(at_a["key"], "system/ircLeader");
    assert_eq!((&at_a["leader"], &at_a["is_self"]), (&"a".into(), &true.into()));
    assert_eq!(at_a["term"].as_u64(), leader.term.map(|term| term.get()));
    assert!(at_a["remaining_ms"].as_u64().is_some_and(|ms| ms > 0 && ms <= 5_000));
    let (code, at_b) = b.get("/leader").await.unwrap();
    assert_eq!((code, &at_b["leader"], &at_b["is_self"]), (503, &"a".into(), &false.into()));

    until("published messages", async || {
        a.get("/_debug/twitch").await.is_some_and(|(_, t)| t["counters"]["published"].as_u64() > Some(0))
    })
    .await;
    let (_, twitch) = a.get("/_debug/twitch").await.unwrap();
    assert_eq!(twitch["state"], "CONNECTED");
    assert_eq!(twitch["joinedChannels"].as_array().unwrap().len(), 2);
    assert!(twitch["lastMessageAt"].is_string() && twitch["counters"]["received"].as_u64() > Some(0));
    let (_, vars) = a.get("/debug/vars").await.unwrap();
    let election = &vars["leader_election"];
    assert_eq!((&election["enabled"], &election["is_leader"]), (&true.into(), &true.into()));
    assert_eq!((&election["identity"], &election["lease_holder"]), (&"a".into(), &"a".into()));
    // Whole seconds, after the minutes where there are any.
    let led = election["time_as_leader"].as_str().and_then(|led| led.strip_suffix('s')).unwrap();
    let seconds = led.split_once('m').map_or(led, |(_, seconds)| seconds);
    assert!(seconds.parse::<u64>().is_ok_and(|seconds| seconds < 60), "{election}");
    assert!(election["transitions"].as_u64() > Some(0));
    let (head, metrics) = a.get_answer("/metrics").await.unwrap();
    assert!(head.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{head}");
    for name in [
        "tenure_is_leader",
        "tenure_leader_transitions_total",
        "tenure_time_as_leader_seconds",
        "tenure_messages_received_total",
        "tenure_messages_published_total",
        "tenure_messages_failed_total",
        "tenure_irc_reconnects_total",
        "tenure_irc_connected 1",
        "tenure_irc_channels_joined 2",
    ] {
        assert!(metrics.contains(name), "no {name} in\n{metrics}");
    }
}

/// Readiness falls while the chat is gone and comes back with it, and the reconnect is counted.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_the_chat() {
    let fleet = Fleet::new(quick(1, 50.0), "5s").await;
    let a = fleet.instance("a");
    a.ready().await;
    fleet.sim.fault(Fault::Refuse { for_ms: 1_500 }).unwrap();
    fleet.sim.fault(Fault::Cut { select: Default::default(), how: Default::default() }).unwrap();
    until("unreadiness", async || a.get("/readyz").await.is_some_and(|(code, _)| code == 503)).await;
    a.ready().await;
    let (_, twitch) = a.get("/_debug/twitch").await.unwrap();
    assert!(twitch["reconnects"].as_u64() > Some(0), "{twitch}");
}

/// A standby that cannot reach the store says so: it could not take over.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_without_its_store_is_not_ready() {
    let mut fleet = Fleet::new(quick(1, 50.0), "60s").await;
    let a = fleet.instance("a");
    a.ready().await;
    fleet.leader().await;
    fleet.extra = ["--standby", "cold"].map(str::to_owned).to_vec();
    let b = fleet.instance("b");
    b.ready().await;
    std::fs::rename(fleet.folder.path().join("leases.db"), fleet.folder.path().join("away.db")).unwrap();
    std::fs::create_dir(fleet.folder.path().join("leases.db")).unwrap();
    until("unreadiness", async || {
        b.get("/readyz").await.is_some_and(|(code, ready)| code == 503 && ready.to_string().contains("store: "))
    })
    .await;
}
