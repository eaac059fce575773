//! What a watch tells, one line after the other.

use bytes::BytesMut;
use http_body_util::BodyExt;
use kube::client::Body;
use kube::core::{DynamicObject, WatchEvent};
use tokio_util::codec::{Decoder, LinesCodec, LinesCodecError};

/// The longest object that is read, alone or as a line of a watch. The server keeps 1.5 MiB of one; as JSON it is longer.
pub(crate) const LONGEST_OBJECT: usize = 16 << 20;

/// What a watch tells, as it comes. Keeps at most one line that has not ended yet, up to [`LONGEST_OBJECT`].
pub(crate) struct Events {
    body: Body,
    buffer: BytesMut,
    lines: LinesCodec,
}

/// Why a watch tells nothing any more, but for its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoEvent {
    #[error("a line of a watch has more than {LONGEST_OBJECT} bytes")]
    TooLong,
    #[error("a line of a watch is not what it should be")]
    Odd,
    #[error("a watch broke off: {0}")]
    BrokenOff(String),
}

impl Events {
    pub(crate) fn of(body: Body) -> Events {
        Events { body, buffer: BytesMut::new(), lines: LinesCodec::new_with_max_length(LONGEST_OBJECT) }
    }

    /// The next event; `None` where the server has ended the watch. A line that it has not finished then says nothing.
    pub(crate) async fn next(&mut self) -> Result<Option<WatchEvent<DynamicObject>>, NoEvent> {
        loop {
            match self.lines.decode(&mut self.buffer) {
                Ok(Some(line)) => return Ok(Some(serde_json::from_str(&line).map_err(|_| NoEvent::Odd)?)),
                Ok(None) => {}
                Err(LinesCodecError::MaxLineLengthExceeded) => return Err(NoEvent::TooLong),
                Err(LinesCodecError::Io(_)) => return Err(NoEvent::Odd),
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(NoEvent::BrokenOff(error.to_string())),
                None => return Ok(None),
            }
        }
    }
}
