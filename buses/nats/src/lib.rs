//! A message bus over NATS JetStream.
