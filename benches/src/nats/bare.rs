//! The peer: async-nats alone, with payloads that are ready and a window of 256 acknowledgements.

use std::collections::VecDeque;
use std::future::IntoFuture as _;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, stream};
use tenure_bus::Message;

use super::material::INGRESS;
use super::measured::MeasuredSpan;

const WINDOW: usize = 256;

/// Publishes all messages and waits for the last acknowledgement.
///
/// # Errors
/// Where the server refuses one.
pub(super) async fn publish(url: &str, messages: &[Message]) -> Result<MeasuredSpan> {
    let client = async_nats::connect(url).await.context("async-nats cannot connect")?;
    let context = jetstream::new(client);
    let config = stream::Config {
        name: "BARE".into(),
        subjects: vec![INGRESS.into()],
        duplicate_window: Duration::from_secs(2400),
        ..stream::Config::default()
    };
    context.create_stream(config).await.context("async-nats cannot make the stream")?;
    let ids: Vec<String> = messages.iter().map(|message| message.id.to_string()).collect();
    let span = MeasuredSpan::now();
    let mut window = VecDeque::with_capacity(WINDOW);
    for (message, id) in messages.iter().zip(&ids) {
        if window.len() == WINDOW {
            taken(window.pop_front()).await?;
        }
        let publish = PublishMessage::build().payload(message.body.clone()).message_id(id);
        window.push_back(context.send_publish(INGRESS, publish).await?);
    }
    while !window.is_empty() {
        taken(window.pop_front()).await?;
    }
    Ok(span.ended())
}

async fn taken(future: Option<jetstream::context::PublishAckFuture>) -> Result<()> {
    let ack = future.context("an empty window")?.into_future().await?;
    if ack.duplicate {
        bail!("the stream took a message for a duplicate");
    }
    Ok(())
}
