//! A network that holds lines up and lets them go together, and a server that counts when they arrive.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use tenure_core::Time;
use tenure_irc::{Budget, Connection, Input, Login, Output, Settings, parse};

const WINDOW: Duration = Duration::from_secs(10);

/// One of several connections that share a budget, and its way to the server: lines keep their order there.
struct Lane {
    connection: Connection,
    last_arrival: Time,
}

/// What happens at a moment.
enum Happening {
    /// A JOIN arrives at the server, and is answered unless there is no such channel.
    Arrives { lane: usize, channel: String },
    /// The answer comes.
    Answered { lane: usize, channel: String },
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// However the network holds JOINs and their answers up, by up to a whole window each, and whichever channels are
    /// not there: the server sees no more than the budget in any window. All that are there are joined.
    #[test]
    fn no_window_of_the_servers_is_overrun(
        delays in prop::collection::vec((0u64..10_000, 0u64..4_000), 200),
        absent in prop::collection::btree_set(0usize..60, 0..8),
        calm in prop::bool::ANY,
    ) {
        let mut budget = Budget::new(20, WINDOW);
        let start = Time::from_millis(5_000);
        let mut lanes: Vec<Lane> = (0..3)
            .map(|seed| Lane { connection: connection(seed, start), last_arrival: start })
            .collect();
        let mut happenings: BTreeMap<(Time, usize), Happening> = BTreeMap::new();
        let (mut arrivals, mut joined, mut number) = (Vec::new(), 0, 0);
        let mut now = start;
        let end = start + Duration::from_secs(1_200);
        while now < end && joined < 60 - absent.len() {
            for (index, lane) in lanes.iter_mut().enumerate() {
                lane.connection.handle(now, Input::Heard);
                lane.connection.handle(now, Input::Timeout);
                while let Some(output) = lane.connection.poll(now, &mut budget) {
                    let Output::Send(line) = output else { continue };
                    let line = String::from_utf8(line.as_bytes().to_vec()).unwrap();
                    let Some(channel) = line.trim_end().strip_prefix("JOIN #") else { continue };
                    number += 1;
                    // A held up line holds up those behind it.
                    let (late, _) = delays[number % delays.len()];
                    let arrival = now + Duration::from_millis(if calm { late / 50 } else { late });
                    lane.last_arrival = lane.last_arrival.max(arrival);
                    let arrives = Happening::Arrives { lane: index, channel: channel.to_owned() };
                    happenings.insert((lane.last_arrival, number), arrives);
                }
            }
            let timers = lanes.iter().filter_map(|lane| lane.connection.poll_timeout());
            let next = timers.chain(happenings.keys().map(|(at, _)| *at)).min().unwrap();
            now = next.max(now + Duration::from_millis(1));
            while let Some(entry) = happenings.first_entry().filter(|entry| entry.key().0 <= now) {
                let ((at, number), happening) = entry.remove_entry();
                match happening {
                    Happening::Arrives { lane, channel } => {
                        arrivals.push(at);
                        if !absent.contains(&channel[1..].parse::<usize>().unwrap()) {
                            let (_, back) = delays[(number * 7) % delays.len()];
                            let answer = Happening::Answered { lane, channel };
                            happenings.insert((at + Duration::from_millis(back), number + 1_000_000), answer);
                        }
                    }
                    Happening::Answered { lane, channel } => {
                        let line = format!(":justinfan1!a@a JOIN #{channel}");
                        let connection = &mut lanes[lane].connection;
                        let before = connection.joined().count();
                        connection.receive(now, &parse(line.as_bytes()).unwrap());
                        joined += connection.joined().count() - before;
                    }
                }
            }
        }
        arrivals.sort_unstable();
        for many in arrivals.windows(21) {
            prop_assert!(many[20].since(many[0]) >= WINDOW, "21 arrived within {:?}", many[20].since(many[0]));
        }
        prop_assert_eq!(joined, 60 - absent.len(), "not all are joined after {:?}", now.since(start));
    }
}

/// A connection that is logged in and wants 20 of the 60 channels.
fn connection(seed: u64, now: Time) -> Connection {
    let mut connection = Connection::new(Settings::new(Login::Anonymous, seed));
    connection.handle(now, Input::Connected);
    for number in 0..20 {
        connection.handle(now, Input::Join(&format!("c{}", seed * 20 + number)));
    }
    for line in [":t CAP * ACK :twitch.tv/tags twitch.tv/commands", ":t 001 justinfan1 :Welcome"] {
        connection.receive(now, &parse(line.as_bytes()).unwrap());
    }
    connection
}
