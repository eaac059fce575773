//! `tenure tail`: the last lines, those of some channels and types, those since a while ago; on SQLite and on NATS.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tenure_bus::{Batch, Bus, Message, Subjects};
use tenure_envelope::EnvelopeId;
use tenure_test_servers::{Nats, NatsOptions, nats_program, or_skip};
use tokio_util::bytes::Bytes;

use crate::fleet::tenure;
use crate::operators::ran;

/// A bus with messages of two channels and two types, one a minute until now.
struct Filled {
    url: String,
    bus: Arc<dyn Bus>,
    _folder: TempDir,
    _nats: Option<Nats>,
}

const MESSAGE: &str = "external.chat.message.v1";
const NOTICE: &str = "external.chat.notice.v1";

impl Filled {
    async fn everywhere() -> Vec<Filled> {
        let mut all = Vec::new();
        let nats = or_skip("tail", true, nats_program("2.9"))
            .map(|program| Nats::start(&program, &NatsOptions::default()).unwrap());
        for nats in [None, nats] {
            let folder = tempfile::tempdir().unwrap();
            let url = match &nats {
                Some(nats) => nats.url(),
                None => format!("sqlite:{}", folder.path().join("bus.db").display()),
            };
            if nats.is_none() && !all.is_empty() {
                continue;
            }
            let bus = tenure_bus_open::open(&url, &Subjects::new(""), Duration::from_secs(30)).await.unwrap();
            let filled = Filled { url, bus, _folder: folder, _nats: nats };
            for number in 1..=12 {
                filled.publish(number).await;
            }
            all.push(filled);
        }
        all
    }

    /// Message `number` of channel `even` or `odd`; every third is a notice. It was sent `12 - number` minutes ago, and a half.
    async fn publish(&self, number: u64) {
        let (channel, kind) = (
            if number.is_multiple_of(2) { "even" } else { "odd" },
            if number.is_multiple_of(3) { NOTICE } else { MESSAGE },
        );
        let age = Duration::from_secs(12_u64.saturating_sub(number) * 60 + 30);
        let at = jiff::Timestamp::now().checked_sub(age).unwrap();
        let body = json!({
            "type": kind, "timestamp": format!("{at:.3}"), "source": {"channel": channel},
            "user": {"displayName": "Anna"}, "payload": {"text": number.to_string()},
        });
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let message = Message {
            id: EnvelopeId(id),
            kind: if number.is_multiple_of(3) { NOTICE } else { MESSAGE },
            channel: channel.into(),
            body: Bytes::from(body.to_string()),
        };
        let subject = Subjects::new("").ingress;
        let batch = Batch { subject: &subject, fence: None, valid_until: None, messages: &[message] };
        self.bus.publish(&batch).await.unwrap().remove(0).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = tenure();
        command.args(["tail", "--bus", &self.url]).args(args);
        command
    }

    /// The numbers of the messages that are printed with these flags.
    fn tail(&self, args: &[&str]) -> Vec<u64> {
        let ran = ran(self.command(args).arg("--json"));
        assert_eq!(ran.code, Some(0), "{args:?}: {ran:?}");
        ran.lines().iter().map(number).collect()
    }
}

fn number(envelope: &Value) -> u64 {
    assert!(envelope["_pos"].is_u64());
    envelope["payload"]["text"].as_str().unwrap().parse().unwrap()
}

/// Each flag selects, and together they select what all of them do; -n takes the last of what is selected, and ends.
#[tokio::test(flavor = "multi_thread")]
async fn tail_selects() {
    for bus in Filled::everywhere().await {
        assert_eq!(bus.tail(&["-n", "3"]), [10, 11, 12], "{}", bus.url);
        assert_eq!(bus.tail(&["-n", "100"]), (1..=12).collect::<Vec<_>>());
        assert!(bus.tail(&["-n", "0"]).is_empty());
        assert_eq!(bus.tail(&["-n", "2", "--channel", "#Odd"]), [9, 11]);
        assert_eq!(bus.tail(&["-n", "9", "--type", "notice"]), [3, 6, 9, 12]);
        assert_eq!(bus.tail(&["--from", "start", "--no-follow", "--type", NOTICE, "--channel", "even"]), [6, 12]);
        assert_eq!(
            bus.tail(&["-n", "99", "--channel", "even", "--channel", "odd", "--type", "notice", "--type", "message"])
                .len(),
            12
        );
        assert!(bus.tail(&["-n", "9", "--channel", "nobody"]).is_empty());
        assert_eq!(bus.tail(&["--from", "-3m", "--no-follow"]), [10, 11, 12]);
        assert_eq!(bus.tail(&["--from=-3m", "-n", "2"]), [11, 12]);
        assert_eq!(bus.tail(&["--from", "11", "--no-follow"]), [11, 12]);
        let people = ran(&mut bus.command(&["-n", "2", "--type", "message"]));
        let lines: Vec<_> = people.out.lines().collect();
        assert_eq!(lines.len(), 2, "{people:?}");
        assert!(lines[0].ends_with("#even Anna: 10") && lines[1].ends_with("#odd Anna: 11"), "{people:?}");
    }
}

/// With --follow the last lines come first, and then what is published; nothing is left out between the two.
#[tokio::test(flavor = "multi_thread")]
async fn tail_goes_on_where_asked() {
    for bus in Filled::everywhere().await {
        let mut follows = bus.command(&["-n", "2", "-f", "--json", "--channel", "odd"]);
        let mut child = follows.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = || number(&serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap());
        assert_eq!([next(), next()], [9, 11], "{}", bus.url);
        for number in 13..=15 {
            bus.publish(number).await;
        }
        assert_eq!([next(), next()], [13, 15], "{}", bus.url);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// A bus that never rests has an end all the same: what was published later is not waited for.
#[tokio::test(flavor = "multi_thread")]
async fn tail_ends_on_a_bus_that_never_rests() {
    for bus in Filled::everywhere().await {
        let ended = tokio::sync::watch::Sender::new(false);
        let publishes = async {
            for number in 13.. {
                bus.publish(number).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
                if *ended.borrow() {
                    return;
                }
            }
        };
        let mut command = bus.command(&["-n", "3", "--json"]);
        let tails = async {
            let ran = tokio::task::spawn_blocking(move || ran(&mut command)).await.unwrap();
            ended.send_replace(true);
            ran
        };
        let (ran, ()) =
            tokio::time::timeout(crate::fleet::DEADLINE, async { tokio::join!(tails, publishes) }).await.unwrap();
        assert_eq!((ran.code, ran.lines().len()), (Some(0), 3), "{ran:?}");
    }
}

/// A mistyped flag's value is told with what may be written.
#[test]
fn tail_tells_what_may_be_written() {
    for (args, said) in [
        (["--type", "massage"], "message, notice, moderation, room, gap"),
        (["--from", "yesterday"], "-10m"),
        (["--channel", "#"], "no channel"),
        (["-n", "x"], "invalid"),
    ] {
        let ran = ran(tenure().args(["tail", "--bus", "sqlite:missing.db"]).args(args));
        assert!(ran.code == Some(64) && ran.err.contains(said), "{args:?}: {ran:?}");
    }
}
