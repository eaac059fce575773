//! Channels that cannot be joined: what is shown of them, and what counts as all that is possible.

use std::collections::BTreeMap;

use tenure_twitch::{JoinFailure, LostReason, ReaderEvent};

use super::script::{Bench, ScriptedBus, config};
use crate::config::Ready;

fn refused(channel: &str, failure: JoinFailure) -> ReaderEvent {
    ReaderEvent::JoinFailed { connection: 1, channel: channel.into(), failure }
}

fn codes<const N: usize>(codes: [(&str, &'static str); N]) -> BTreeMap<String, &'static str> {
    codes.map(|(channel, code)| (channel.to_owned(), code)).into()
}

/// What can be joined is read once the rest is known not to be: before that, and while nothing is known, not all that is
/// possible is read. A channel that comes back is read again, and its reason is gone.
#[tokio::test]
async fn what_cannot_be_joined_is_not_waited_for() {
    let bus = ScriptedBus::new();
    let mut bench = Bench::new(&bus, config());
    let (all, possible) = (Ready::All, Ready::Possible);
    bench.joined("c", 1_000).await;
    bench.until("one channel", |shown| shown.covers_any).await;
    assert!(!possible.is_met(&bench.shown()) && !all.is_met(&bench.shown()));
    bench.event(refused("d", JoinFailure::Silent)).await;
    bench.until("the verdict", |shown| possible.is_met(shown) && shown.unplaced == codes([("d", "no_answer")])).await;
    assert!(!all.is_met(&bench.shown()));
    bench.event(refused("d", JoinFailure::Suspended)).await;
    bench.until("another verdict", |shown| shown.unplaced == codes([("d", "suspended")])).await;
    bench.joined("d", 2_000).await;
    bench.until("all", |shown| all.is_met(shown) && possible.is_met(shown) && shown.unplaced.is_empty()).await;
}

/// A channel that the account was put out of is told of as banned, and not waited for either.
#[tokio::test]
async fn who_is_put_out_is_banned() {
    let bus = ScriptedBus::new();
    let mut bench = Bench::new(&bus, config());
    bench.joined("c", 1_000).await;
    bench.joined("d", 1_000).await;
    bench.until("all", |shown| shown.covers_all).await;
    let (channel, reason) = ("d".to_owned(), LostReason::PutOut);
    bench.event(ReaderEvent::ChannelLost { connection: 1, channel, since_unix_ms: 1_500, reason }).await;
    bench.until("the loss", |shown| shown.covers_possible && shown.unplaced == codes([("d", "banned")])).await;
    assert!(!bench.shown().covers_all);
}

/// A channel that an older connection still reads is not told of, though the newer one was refused it; it is once the older one
/// has gone. A connection that is lost takes with it what it read, but not what is known of the others.
#[tokio::test]
async fn a_reason_outlives_its_connection() {
    let bus = ScriptedBus::new();
    let mut bench = Bench::new(&bus, config());
    bench.joined("c", 1_000).await;
    bench.joined("d", 1_000).await;
    let newer = |channel: &str| ReaderEvent::Joined { connection: 2, channel: channel.into(), at_unix_ms: 2_000 };
    bench.event(newer("c")).await;
    let (channel, failure) = ("d".to_owned(), JoinFailure::Silent);
    bench.event(ReaderEvent::JoinFailed { connection: 2, channel, failure }).await;
    bench.ticks(2).await;
    assert!(bench.shown().covers_all && bench.shown().unplaced.is_empty());
    let gone = |connection| ReaderEvent::Disconnected {
        connection,
        reason: LostReason::Replaced,
        last_alive_unix_ms: Some(2_500),
    };
    bench.event(gone(1)).await;
    bench.until("the verdict", |shown| shown.covers_possible && shown.unplaced == codes([("d", "no_answer")])).await;
    bench.event(gone(2)).await;
    bench.until("no connection", |shown| !shown.covers_any && !shown.covers_possible).await;
    assert_eq!(bench.shown().unplaced, codes([("d", "no_answer")]));
}
