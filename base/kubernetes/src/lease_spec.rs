//! The `spec` of a Lease as client-go's leader election keeps it, and the rule by which it goes.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::client::Object;

/// Who holds a Lease, and since when, in the members that client-go's `resourcelock` reads and writes. What later versions of
/// the server have besides is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    holder_identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_duration_seconds: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acquire_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renew_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_transitions: Option<i32>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl LeaseSpec {
    /// That of this Lease; an empty one where it is not as the server keeps it.
    pub fn of(lease: &Object) -> LeaseSpec {
        LeaseSpec::deserialize(&lease.data["spec"]).unwrap_or_default()
    }

    /// Puts it into the Lease.
    pub fn put(&self, lease: &mut Object) {
        lease.data = serde_json::json!({ "spec": self });
    }

    /// Who holds it; empty where it was released, or nobody ever held it.
    pub fn holder(&self) -> &str {
        self.holder_identity.as_deref().unwrap_or_default()
    }

    /// For how long it is held, by the rule of client-go: until it has stood unchanged, before the eyes of whoever wants it, for
    /// so long. `None` where it does not say.
    pub fn lasts(&self) -> Option<Duration> {
        Some(Duration::from_secs(self.lease_duration_seconds?.try_into().ok()?))
    }

    /// When it was renewed last, as it stands there.
    pub fn renewed(&self) -> Option<&str> {
        self.renew_time.as_deref()
    }

    /// Held by `holder` from now on, for so long; a duration is rounded up to seconds, and one that no Lease can say is its
    /// longest.
    ///
    /// `renewTime` differs from what stood there, in the second as well, for that is all that client-go compares, and a
    /// renewal that it does not see would count as silence. With more than one in a second it runs ahead of the clock, 10 s at
    /// most; where it falls back to it, `leaseTransitions` grows, so that nothing stands there twice. Where this is no `renewal` it is a tenure of its own: `acquireTime` is set, and `leaseTransitions` grows.
    pub fn hold(&mut self, holder: &str, lasts: Duration, renewal: bool, now: Timestamp) {
        let stood = self.renewed().and_then(|time| time.parse().ok());
        let later = later(now, stood);
        let renewed = micro_time(later);
        // Where the clock is gone back to, the same second may stand here once more: client-go, which compares the whole of it,
        // sees by the count that it is another renewal.
        let falls_back = stood.is_some_and(|stood| later < stood);
        if falls_back && renewal {
            self.lease_transitions = Some(self.lease_transitions.map_or(0, |count| count.saturating_add(1)));
        }
        if !renewal {
            self.lease_transitions = Some(self.lease_transitions.map_or(0, |count| count.saturating_add(1)));
            self.acquire_time = Some(renewed.clone());
        }
        let seconds = lasts.as_nanos().div_ceil(1_000_000_000).max(1);
        self.lease_duration_seconds = Some(seconds.try_into().unwrap_or(i32::MAX));
        self.holder_identity = Some(holder.to_owned());
        self.renew_time = Some(renewed);
    }

    /// Released, as client-go does it.
    pub fn release(&mut self, now: Timestamp) {
        let now = micro_time(now);
        self.holder_identity = Some(String::new());
        self.lease_duration_seconds = Some(1);
        self.acquire_time = Some(now.clone());
        self.renew_time = Some(now);
    }
}

/// How far `renewTime` may run ahead of the clock.
const AHEAD: i64 = 10;

/// Now, or the second after what stood there.
fn later(now: Timestamp, stood: Option<Timestamp>) -> Timestamp {
    let Some(stood) = stood else { return now };
    match now.as_second() - stood.as_second() {
        1.. => now,
        behind if behind > -AHEAD => Timestamp::from_second(stood.as_second() + 1).unwrap_or(now),
        _ => now,
    }
}

/// RFC 3339 with microseconds, as the server keeps it.
fn micro_time(time: Timestamp) -> String {
    format!("{time:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Whatever the clock does, the second of renewTime differs from the one before; it never runs far ahead.
    #[test]
    fn every_renewal_is_seen() {
        let now = at("2026-01-02T03:04:05.900Z");
        assert_eq!(later(now, None), now);
        for (stood, expected) in [
            ("2026-01-02T03:04:04.999Z", "2026-01-02T03:04:05.900Z"),
            ("2026-01-02T03:04:05.100Z", "2026-01-02T03:04:06Z"),
            ("2026-01-02T03:04:07Z", "2026-01-02T03:04:08Z"),
            ("2026-01-02T03:04:15Z", "2026-01-02T03:04:05.900Z"),
            ("2026-01-02T04:04:05Z", "2026-01-02T03:04:05.900Z"),
        ] {
            assert_eq!(later(now, Some(at(stood))), at(expected), "{stood}");
        }
    }

    /// Whatever client-go compares never stands there twice, however often a second is renewed.
    #[test]
    fn no_renewal_looks_like_another() {
        let (mut spec, mut seen) = (LeaseSpec::default(), std::collections::HashSet::new());
        let began = at("2026-01-02T03:04:05Z");
        spec.hold("x", Duration::from_secs(1), false, began);
        for renewal in 1..400_i64 {
            let now = began + jiff::SignedDuration::from_millis(renewal * 333);
            spec.hold("x", Duration::from_secs(1), true, now);
            let second = spec.renewed().unwrap().parse::<Timestamp>().unwrap().as_second();
            assert!(seen.insert((second, spec.lease_transitions)), "renewal {renewal}");
        }
    }

    /// Durations are rounded up to what client-go waits for, and never become one that it does not.
    #[test]
    fn durations_are_whole_seconds() {
        for (lasts, expected) in
            [(1, 1), (1_000, 1), (1_001, 2), (14_200, 15), (u64::MAX, i32::MAX.unsigned_abs().into())]
        {
            let mut spec = LeaseSpec::default();
            spec.hold("x", Duration::from_millis(lasts), false, at("2026-01-02T03:04:05Z"));
            assert_eq!(spec.lasts(), Some(Duration::from_secs(expected)), "{lasts}");
        }
    }

    /// A Lease that nobody filled in has no holder and no end, and so has one that is none.
    #[test]
    fn an_empty_lease_says_nothing() {
        for data in [Value::Null, serde_json::json!({"spec": null}), serde_json::json!({"spec": {"renewTime": 7}})] {
            let object = Object { types: None, metadata: Default::default(), data };
            let spec = LeaseSpec::of(&object);
            assert_eq!((spec.holder(), spec.lasts(), spec.renewed()), ("", None, None));
        }
    }
}
