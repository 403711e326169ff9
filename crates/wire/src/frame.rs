//! How a message is cut out of a stream: four bytes of length, big-endian, then the message.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

/// The longest message: a manifest of 4 MiB (what clients take) comes inline in one.
pub const MAX_FRAME: usize = 6 * 1024 * 1024;

/// A frame that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It announces more than [`MAX_FRAME`] bytes.
    #[error("a message of {0} bytes is longer than messages may be")]
    TooLong(usize),
    /// Its bytes are not the expected message.
    #[error("a message cannot be read: {0}")]
    Unreadable(#[from] prost::DecodeError),
}

/// Appends `message` as a frame.
pub fn encode(message: &impl Message, out: &mut BytesMut) {
    let length = message.encoded_len();
    out.reserve(4 + length);
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // Only a lack of room can fail, and a BytesMut grows.
    let _ = message.encode(out);
}

/// `message` as one frame.
#[must_use]
pub fn to_bytes(message: &impl Message) -> Bytes {
    let mut out = BytesMut::new();
    encode(message, &mut out);
    out.freeze()
}

/// The length of the next frame's message, from the frame's first four bytes.
///
/// # Errors
/// If it is longer than `limit`.
pub fn length(header: [u8; 4], limit: usize) -> Result<usize, FrameError> {
    let length = u32::from_be_bytes(header) as usize;
    if length > limit.min(MAX_FRAME) {
        return Err(FrameError::TooLong(length));
    }
    Ok(length)
}

/// Takes one message from the front of `buffer`; `None` until all of it is there.
///
/// # Errors
/// If the frame is too long or cannot be read.
pub fn decode<M: Message + Default>(buffer: &mut BytesMut) -> Result<Option<M>, FrameError> {
    let Some(header) = buffer.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = length(*header, MAX_FRAME)?;
    if buffer.len() < 4 + length {
        return Ok(None);
    }
    buffer.advance(4);
    Ok(Some(M::decode(buffer.split_to(length))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Unwant;

    #[test]
    fn messages_come_out_as_they_went_in_however_they_are_cut() {
        let message = Unwant { task: "x".repeat(300) };
        let mut all = BytesMut::new();
        encode(&message, &mut all);
        encode(&Unwant::default(), &mut all);
        let mut buffer = BytesMut::new();
        let mut seen = Vec::new();
        for byte in all {
            buffer.put_u8(byte);
            while let Some(message) = decode::<Unwant>(&mut buffer).expect("readable") {
                seen.push(message);
            }
        }
        assert_eq!(seen, [message, Unwant::default()]);
    }

    #[test]
    fn a_frame_that_announces_too_much_is_refused_before_it_is_read() {
        let mut buffer = BytesMut::from(&[0xff, 0xff, 0xff, 0xff][..]);
        assert!(matches!(decode::<Unwant>(&mut buffer), Err(FrameError::TooLong(_))));
        let mut garbage = BytesMut::from(&[0, 0, 0, 2, 0xff, 0xff][..]);
        assert!(matches!(decode::<Unwant>(&mut garbage), Err(FrameError::Unreadable(_))));
    }
}
