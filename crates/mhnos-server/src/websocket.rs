//! WebSocket frames (RFC 6455), server side, as the bridge needs them.
//!
//! The handshake's key and the form of a frame's header are tungstenite's. The reading of messages is our own, for what no
//! library offers together: the largest size changes when a connection is approved; a message beyond it is skipped,
//! with its beginning kept so that the answer can name the request, and the connection lives on; and output goes
//! from the log to the socket without being copied.

use std::io::{self, Cursor};

use bytes::{Buf, Bytes, BytesMut};
use mhnos_protocol::limits::OVERSIZED_PREFIX_BYTES;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::socket::Readable;

/// First room for what comes in. It grows with what really comes, not with what is announced.
const READ_BYTES: usize = 4 << 10;

/// Room for what is skipped.
const SKIP_BYTES: usize = 64 << 10;

/// Announced sizes up to this are believed at once.
const BELIEVED_BYTES: usize = 1 << 20;

/// RFC 6455, 5.2: the longest header a server writes, which has no mask.
const HEADER_BYTES: usize = 10;

/// RFC 6455, 5.5: the largest payload of a control frame.
const CONTROL_BYTES: u64 = 125;

/// A control frame holds 125 bytes (RFC 6455, 5.5), of which two are the code. A longer reason is cut.
const CLOSE_REASON_BYTES: usize = 123;

/// What the client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A text message; whether it really is UTF-8 is not checked yet.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
    /// A message larger than allowed was skipped.
    TooLarge {
        /// Its first bytes.
        prefix: Bytes,
    },
    /// To be answered with a pong of the same payload.
    Ping(Bytes),
    /// The client closes, or is gone.
    Close,
}

/// Reads messages.
pub struct MessageReader<R> {
    io: R,
    buffer: BytesMut,
    limit: usize,
    /// The frame that is being read.
    frame: Option<Frame>,
    /// The message it belongs to, if it is one of data.
    message: Option<Message>,
}

struct Frame {
    header: FrameHeader,
    mask: [u8; 4],
    length: u64,
    /// Bytes of the payload that were skipped, where the message is too large.
    skipped: u64,
}

/// A message of which some fragments have come.
struct Message {
    text: bool,
    content: BytesMut,
    too_large: bool,
}

impl<R: AsyncRead + Readable + Unpin> MessageReader<R> {
    /// Reads from `io`, of which `already_read` was read before.
    pub fn new(io: R, already_read: Bytes, limit: usize) -> Self {
        Self { io, buffer: already_read.into(), limit, frame: None, message: None }
    }

    /// Sets the largest message from the next fragment on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The next message. Cancel-safe: what was read stays here.
    ///
    /// # Errors
    /// When the client breaks the protocol ([`is_violation`]) or the connection fails.
    pub async fn next(&mut self) -> io::Result<Incoming> {
        loop {
            if self.frame.is_none() {
                let Some((header, length)) = self.read_header().await? else { return Ok(Incoming::Close) };
                self.begin(header, length)?;
            }
            let Some(frame) = &self.frame else { continue };
            let (opcode, is_final, mask, length) =
                (frame.header.opcode, frame.header.is_final, frame.mask, frame.length);
            if self.message.as_ref().is_some_and(|message| message.too_large)
                && matches!(opcode, OpCode::Data(_))
            {
                self.skip().await?;
                self.frame = None;
            } else {
                self.await_payload(length as usize).await?;
                let mut payload = self.buffer.split_to(length as usize);
                unmask(&mut payload, mask, 0);
                self.frame = None;
                match (opcode, &mut self.message) {
                    (OpCode::Control(Control::Ping), _) => return Ok(Incoming::Ping(payload.freeze())),
                    (OpCode::Control(Control::Close), _) => return Ok(Incoming::Close),
                    (OpCode::Control(_), _) | (_, None) => continue,
                    (OpCode::Data(_), Some(message)) if message.content.is_empty() => {
                        message.content = payload
                    }
                    (OpCode::Data(_), Some(message)) => message.content.extend_from_slice(&payload),
                }
            }
            if is_final && let Some(message) = self.message.take() {
                let content = message.content.freeze();
                return Ok(match (message.too_large, message.text) {
                    (true, _) => Incoming::TooLarge { prefix: content },
                    (false, true) => Incoming::Text(content),
                    (false, false) => Incoming::Binary(content),
                });
            }
        }
    }

    /// Checks a header, and makes its frame the one that is read.
    fn begin(&mut self, header: FrameHeader, length: u64) -> io::Result<()> {
        let mask = header.mask.ok_or_else(|| violation("a client's frame must be masked"))?;
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(violation("no extension was negotiated"));
        }
        match (header.opcode, &self.message) {
            (OpCode::Control(Control::Reserved(_)), _) => return Err(violation("an unknown control frame")),
            (OpCode::Control(_), _) if !header.is_final || length > CONTROL_BYTES => {
                return Err(violation("a control frame must be whole and short"));
            }
            (OpCode::Data(data @ (Data::Text | Data::Binary)), None) => {
                self.message =
                    Some(Message { text: data == Data::Text, content: BytesMut::new(), too_large: false });
            }
            (OpCode::Control(_), _) | (OpCode::Data(Data::Continue), Some(_)) => {}
            (OpCode::Data(_), _) => return Err(violation("a fragment out of turn")),
        }
        if let (OpCode::Data(_), Some(message)) = (header.opcode, &mut self.message)
            && (message.content.len() as u64).saturating_add(length) > self.limit as u64
        {
            message.too_large = true;
            message.content.truncate(OVERSIZED_PREFIX_BYTES);
        }
        self.frame = Some(Frame { header, mask, length, skipped: 0 });
        Ok(())
    }

    /// The next frame's header and length; `None` when the client is gone.
    async fn read_header(&mut self) -> io::Result<Option<(FrameHeader, u64)>> {
        loop {
            let mut cursor = Cursor::new(&self.buffer[..]);
            if let Some(header) =
                FrameHeader::parse(&mut cursor).map_err(|_| violation("a malformed frame"))?
            {
                let length = cursor.position() as usize;
                self.buffer.advance(length);
                return Ok(Some(header));
            }
            if self.fill(READ_BYTES).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads what there is, into room for at least `wanted` bytes. An idle connection holds no room at all.
    async fn fill(&mut self, wanted: usize) -> io::Result<usize> {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.io.readable().await?;
        }
        self.buffer.reserve(wanted);
        self.io.read_buf(&mut self.buffer).await
    }

    /// Waits until the payload is in the buffer.
    async fn await_payload(&mut self, length: usize) -> io::Result<()> {
        while self.buffer.len() < length {
            let missing = length - self.buffer.len();
            let believed =
                if self.buffer.len() < BELIEVED_BYTES { missing.min(BELIEVED_BYTES) } else { missing };
            if self.fill(believed).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Skips the rest of the frame, keeping the beginning of the message.
    async fn skip(&mut self) -> io::Result<()> {
        while let (Some(frame), Some(message)) = (&mut self.frame, &mut self.message) {
            let here = (self.buffer.len() as u64).min(frame.length - frame.skipped) as usize;
            let mut piece = self.buffer.split_to(here);
            let kept = here.min(OVERSIZED_PREFIX_BYTES - message.content.len());
            unmask(&mut piece[..kept], frame.mask, (frame.skipped % 4) as usize);
            message.content.extend_from_slice(&piece[..kept]);
            frame.skipped += here as u64;
            if frame.skipped == frame.length {
                break;
            }
            if self.fill(SKIP_BYTES).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}

/// Whether an error is the client's breaking of the protocol.
pub fn is_violation(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
}

fn violation(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Takes the mask off a payload of which `offset` bytes came before.
fn unmask(payload: &mut [u8], mut mask: [u8; 4], offset: usize) {
    mask.rotate_left(offset % 4);
    let wide = u64::from(u32::from_ne_bytes(mask)) * 0x1_0000_0001;
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Frames shorter than this are gathered, so that many small ones cost one system call.
const GATHERED_BYTES: usize = 8 << 10;

/// Writes messages.
pub struct MessageWriter<W> {
    io: W,
    gathered: BytesMut,
}

impl<W: AsyncWrite + Unpin> MessageWriter<W> {
    /// Writes to `io`.
    pub fn new(io: W) -> Self {
        Self { io, gathered: BytesMut::new() }
    }

    /// Writes a text message made of two parts.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn text(&mut self, first: &[u8], second: &[u8]) -> io::Result<()> {
        self.frame(OpCode::Data(Data::Text), first, second).await
    }

    /// Writes a binary message made of two parts.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn binary(&mut self, first: &[u8], second: &[u8]) -> io::Result<()> {
        self.frame(OpCode::Data(Data::Binary), first, second).await
    }

    /// Answers a ping.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn pong(&mut self, payload: &[u8]) -> io::Result<()> {
        self.frame(OpCode::Control(Control::Pong), payload, &[]).await
    }

    /// Says goodbye, and writes out what is left.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn close(&mut self, code: u16, reason: &str) -> io::Result<()> {
        let reason = &reason[..reason.floor_char_boundary(CLOSE_REASON_BYTES)];
        self.frame(OpCode::Control(Control::Close), &code.to_be_bytes(), reason.as_bytes()).await?;
        self.flush().await
    }

    /// Writes out what was gathered. To be called when nothing more is at hand.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn flush(&mut self) -> io::Result<()> {
        if !self.gathered.is_empty() {
            self.io.write_all_buf(&mut self.gathered).await?;
            // An idle connection holds no room.
            self.gathered = BytesMut::new();
        }
        Ok(())
    }

    async fn frame(&mut self, opcode: OpCode, first: &[u8], second: &[u8]) -> io::Result<()> {
        let length = first.len() + second.len();
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        let mut head = [0; HEADER_BYTES];
        let mut cursor = Cursor::new(&mut head[..]);
        header.format(length as u64, &mut cursor).map_err(io::Error::other)?;
        let head_length = cursor.position() as usize;
        self.gathered.extend_from_slice(&head[..head_length]);
        self.gathered.extend_from_slice(first);
        if length < GATHERED_BYTES {
            self.gathered.extend_from_slice(second);
            if self.gathered.len() >= GATHERED_BYTES * 4 {
                self.io.write_all_buf(&mut self.gathered).await?;
            }
            return Ok(());
        }
        let mut whole = (&mut self.gathered).chain(second);
        self.io.write_all_buf(&mut whole).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A client's frame, made without this module.
    fn frame(opcode: u8, last: bool, payload: &[u8]) -> Vec<u8> {
        let mask = [1u8, 2, 3, 4];
        let mut frame = vec![opcode | if last { 0x80 } else { 0 }];
        match payload.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length @ 126..65536 => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    async fn read_all(stream: &[u8], limit: usize) -> Vec<Incoming> {
        let mut reader = MessageReader::new(stream, Bytes::new(), limit);
        let mut messages = Vec::new();
        loop {
            match reader.next().await {
                Ok(Incoming::Close) | Err(_) => return messages,
                Ok(message) => messages.push(message),
            }
        }
    }

    #[tokio::test]
    async fn messages_come_whole_whatever_their_fragments() {
        let long = vec![b'x'; 70_000];
        let stream = [
            frame(1, true, b"one"),
            frame(1, false, b"tw"),
            frame(9, true, b"ping"),
            frame(0, true, b"o"),
            frame(2, true, &long),
        ]
        .concat();
        assert_eq!(
            read_all(&stream, 1 << 20).await,
            [
                Incoming::Text("one".into()),
                Incoming::Ping("ping".into()),
                Incoming::Text("two".into()),
                Incoming::Binary(long.into()),
            ]
        );
    }

    #[tokio::test]
    async fn what_is_too_large_is_skipped_and_the_next_message_understood() {
        let long = vec![b'x'; 70_000];
        let stream = [
            frame(1, true, &long),
            frame(1, false, b"abcdefgh"),
            frame(0, true, &long),
            frame(1, true, b"ok"),
        ]
        .concat();
        let messages = read_all(&stream, 10).await;
        assert_eq!(
            messages[0],
            Incoming::TooLarge { prefix: long[..OVERSIZED_PREFIX_BYTES].to_vec().into() }
        );
        let Incoming::TooLarge { prefix } = &messages[1] else { panic!("{:?}", messages[1]) };
        assert!(prefix.starts_with(b"abcdefghxxx") && prefix.len() == OVERSIZED_PREFIX_BYTES);
        assert_eq!(messages[2..], [Incoming::Text("ok".into())]);
    }

    #[tokio::test]
    async fn a_length_beyond_all_numbers_is_too_large() {
        let mut stream = frame(1, false, b"abc");
        stream.extend_from_slice(&[0x80, 0xff]);
        stream.extend_from_slice(&u64::MAX.to_be_bytes());
        stream.extend_from_slice(&[0; 100]);
        assert_eq!(read_all(&stream, 1 << 20).await, []);
    }

    #[tokio::test]
    async fn what_breaks_the_protocol_is_an_error() {
        let mut unmasked = frame(1, true, b"hi");
        unmasked[1] &= 0x7f;
        for stream in [
            unmasked,
            frame(0, true, b"x"),
            frame(9, false, b"x"),
            frame(0x41, true, b"x"),
            frame(11, true, b""),
        ] {
            let mut reader = MessageReader::new(&stream[..], Bytes::new(), 100);
            assert!(is_violation(&reader.next().await.unwrap_err()));
        }
    }

    #[tokio::test]
    async fn what_is_written_is_what_a_library_reads() {
        let long = vec![7; 100_000];
        let mut written = Vec::new();
        let mut writer = MessageWriter::new(&mut written);
        writer.text(b"hel", b"lo").await.unwrap();
        writer.binary(b"head", &long).await.unwrap();
        writer.pong(b"p").await.unwrap();
        writer.close(1001, "bye").await.unwrap();
        let stream = Cursor::new(written);
        let mut socket =
            tungstenite::WebSocket::from_raw_socket(stream, tungstenite::protocol::Role::Client, None);
        assert_eq!(socket.read().unwrap(), tungstenite::Message::text("hello"));
        assert_eq!(socket.read().unwrap().into_data(), [b"head", &long[..]].concat());
        assert_eq!(socket.read().unwrap(), tungstenite::Message::Pong("p".into()));
        assert!(
            matches!(socket.read().unwrap(), tungstenite::Message::Close(Some(frame)) if u16::from(frame.code) == 1001)
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(stream: Vec<u8>, limit in 0..100usize) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(read_all(&stream, limit));
        }

        #[test]
        fn a_mask_comes_off_at_any_offset(payload: Vec<u8>, mask: [u8; 4], cut in 0..20usize) {
            let cut = cut.min(payload.len());
            let mut masked: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
            unmask(&mut masked[..cut], mask, 0);
            unmask(&mut masked[cut..], mask, cut);
            prop_assert_eq!(masked, payload);
        }
    }
}
