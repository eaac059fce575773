//! What a consumer of the stream sees, through a client that is not ours.

use tenure_bus::{Batch, Bus};
use tenure_core::Term;
use tenure_test_servers::NatsOptions;

use crate::{SUBJECT, jetstream, message, open, server};

/// Each message bears its id, its type, where it is from, how to trace it, and the term it was published under.
#[tokio::test(flavor = "multi_thread")]
async fn messages_bear_their_headers() {
    for version in ["2.9", "2.15"] {
        let Some(server) = server(version, &NatsOptions::default()) else { return };
        let bus = open(&server.url()).await;
        let sent = message(1, 10);
        let fence = Some(("system/ircLeader", Term::new(1_764_000_000_000_000).unwrap()));
        let batch = Batch { subject: SUBJECT, fence, valid_until: None, messages: std::slice::from_ref(&sent) };
        bus.publish(&batch).await.unwrap();

        let stream = jetstream(&server.url()).await.get_stream("TENURE").await.unwrap();
        let seen = stream.get_raw_message(1).await.unwrap();
        let id = sent.id.to_string();
        let trace = id.replace('-', "");
        for (name, value) in [
            ("Nats-Msg-Id", id.clone()),
            ("type", "external.chat.message.v1".into()),
            ("source", "twitch".into()),
            ("channel", "room".into()),
            ("correlationId", id.clone()),
            ("traceparent", format!("00-{trace}-{}-01", &trace[16..])),
            ("term", "1764000000000000".into()),
        ] {
            assert_eq!(seen.headers.get(name).map(|value| value.as_str()), Some(value.as_str()), "{name}");
        }
        assert_eq!((seen.subject.as_str(), seen.payload), (SUBJECT, sent.body));
    }
}
