//! Binary frames of 2.0: bytes that are output, input, content of files, or records of a sync session.
//!
//! ```text
//! offset 0      1        2           4            8                      16
//!        | kind | stream | reserved  | channel    | offset               | payload …
//!          u8     u8       u16 = 0     u32 LE       u64 LE
//! ```
//!
//! `channel` is the process's pid for output and input, and the number of the request that opened it for a file or a
//! sync session. `offset` is the absolute position of the payload's first byte in the process's output, in its input, or in
//! the file; in a sync session it counts the frames this side has sent before.

use bytes::{Buf, BufMut, Bytes};

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 16;

/// What the payload of a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Standard output of a process, or all output of a terminal (runtime to client).
    Stdout,
    /// Standard error of a process (runtime to client).
    Stderr,
    /// Input of a process (client to runtime).
    Input,
    /// A block of a file (either way).
    File,
    /// Records of a sync session, see [`crate::sync`] (either way).
    Sync,
}

/// What stands before the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the payload is.
    pub kind: Kind,
    /// Process, transfer or sync session.
    pub channel: u32,
    /// Position of the payload's first byte, or the frame's number.
    pub offset: u64,
}

impl Header {
    /// The header's bytes, to be followed by the payload.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut buffer = &mut bytes[..];
        let (kind, stream) = match self.kind {
            Kind::Stdout => (1, 1),
            Kind::Stderr => (1, 2),
            Kind::Input => (2, 0),
            Kind::File => (3, 0),
            Kind::Sync => (4, 0),
        };
        buffer.put_u8(kind);
        buffer.put_u8(stream);
        buffer.put_u16_le(0);
        buffer.put_u32_le(self.channel);
        buffer.put_u64_le(self.offset);
        bytes
    }

    /// Splits a frame into its header and its payload.
    ///
    /// # Errors
    /// A sentence naming what is wrong: too short, an unknown kind, or a reserved field that is not zero.
    pub fn decode(mut frame: Bytes) -> Result<(Self, Bytes), String> {
        if frame.len() < HEADER_BYTES {
            return Err(format!(
                "a binary frame has a header of 16 bytes, this one has {} in all",
                frame.len()
            ));
        }
        let (kind, stream, reserved) = (frame.get_u8(), frame.get_u8(), frame.get_u16_le());
        let kind = match (kind, stream, reserved) {
            (1, 1, 0) => Kind::Stdout,
            (1, 2, 0) => Kind::Stderr,
            (2, 0, 0) => Kind::Input,
            (3, 0, 0) => Kind::File,
            (4, 0, 0) => Kind::Sync,
            _ => {
                return Err(format!(
                    "a binary frame of kind {kind}, stream {stream}, flags {reserved} is not known"
                ));
            }
        };
        let (channel, offset) = (frame.get_u32_le(), frame.get_u64_le());
        Ok((Self { kind, channel, offset }, frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_is_what_the_document_says() {
        let header = Header { kind: Kind::Stderr, channel: 1000, offset: 0x0102 };
        assert_eq!(header.encode(), [1, 2, 0, 0, 0xe8, 3, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(kind in 0..5usize, channel: u32, offset: u64, payload: Vec<u8>) {
            let kind = [Kind::Stdout, Kind::Stderr, Kind::Input, Kind::File, Kind::Sync][kind];
            let header = Header { kind, channel, offset };
            let frame = [&header.encode()[..], &payload].concat();
            prop_assert_eq!(Header::decode(frame.into()), Ok((header, payload.into())));
        }

        #[test]
        fn no_bytes_make_it_panic(frame: Vec<u8>) {
            let _ = Header::decode(frame.into());
        }
    }
}
