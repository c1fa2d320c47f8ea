//! A WebSocket client that does as little as can be done: what is measured is the runtime.
//!
//! Frames are taken apart in place, in one large buffer; masks are zero, so that nothing has to be masked.

use std::io::{Read, Write};
use std::net::TcpStream;

use mhnos_protocol::frame::{HEADER_BYTES, Header, Kind};
use mhnos_protocol::v2;
use serde_json::{Value, json};

use crate::Result;
use crate::program::Role;

/// What is read at once. The bare readers read as much.
pub(crate) const READ_BYTES: usize = 256 << 10;

/// Bytes granted to the view of a process at a time.
pub(crate) const WINDOW: u64 = 8 << 20;

/// Which protocol a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Text only.
    V1,
    /// Text and bytes.
    V2,
}

/// A message of the runtime.
pub(crate) enum Message<'a> {
    /// A text.
    Text(&'a [u8]),
    /// Output of a process.
    Output(&'a [u8]),
}

/// A connection.
pub(crate) struct Client {
    /// The plain socket.
    pub(crate) stream: TcpStream,
    protocol: Protocol,
    buffer: Vec<u8>,
    /// The part of the buffer that was read and not handed out.
    start: usize,
    end: usize,
    requests: u32,
}

impl Client {
    /// Connects to a server of this machine; `credentials` is the header that says who we are.
    pub(crate) fn connect(port: u16, credentials: &str, protocol: Protocol) -> Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        let subprotocol = match protocol {
            Protocol::V1 => String::new(),
            Protocol::V2 => format!("Sec-WebSocket-Protocol: {}\r\n", v2::SUBPROTOCOL),
        };
        let request = format!(
            "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {credentials}\r\n{subprotocol}\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut client = Self { stream, protocol, buffer: vec![0; 4 << 10], start: 0, end: 0, requests: 0 };
        let head = loop {
            client.fill(client.end - client.start + 1)?;
            let read = &client.buffer[client.start..client.end];
            if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
        };
        if !client.buffer.starts_with(b"HTTP/1.1 101") {
            return Err(String::from_utf8_lossy(&client.buffer[..head]).into_owned().into());
        }
        client.start += head;
        // The greeting.
        client.next()?;
        Ok(client)
    }

    /// Reads until so much is in the buffer.
    fn fill(&mut self, wanted: usize) -> Result<()> {
        while self.end - self.start < wanted {
            if self.buffer.len() < self.start + wanted || self.start == self.end {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
                if self.buffer.len() < wanted {
                    self.buffer.resize(wanted, 0);
                }
            }
            match self.stream.read(&mut self.buffer[self.end..])? {
                0 => return Err("the runtime closed the connection".into()),
                read => self.end += read,
            }
        }
        Ok(())
    }

    /// Makes room for output that comes in bulk.
    pub(crate) fn expect_much(&mut self) {
        self.buffer.resize(READ_BYTES.max(self.buffer.len()), 0);
    }

    /// The next message.
    pub(crate) fn next(&mut self) -> Result<Message<'_>> {
        self.fill(2)?;
        let (opcode, length) = (self.buffer[self.start] & 0x0f, self.buffer[self.start + 1]);
        let head = match length {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        self.fill(head)?;
        let extended = &self.buffer[self.start + 2..self.start + head];
        let length = match length {
            126 | 127 => extended.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)),
            short => usize::from(short),
        };
        self.fill(head + length)?;
        let payload = self.start + head..self.start + head + length;
        self.start = payload.end;
        match opcode {
            1 => Ok(Message::Text(&self.buffer[payload])),
            2 => {
                Ok(Message::Output(self.buffer.get(payload.start + HEADER_BYTES..payload.end).unwrap_or(&[])))
            }
            _ => Err(format!("the runtime sent a frame of kind {opcode}").into()),
        }
    }

    /// Sends a frame of this kind.
    fn send(&mut self, opcode: u8, parts: [&[u8]; 2]) -> Result<()> {
        let length = parts[0].len() + parts[1].len();
        let mut frame = Vec::with_capacity(14 + length);
        frame.push(0x80 | opcode);
        match length {
            0..126 => frame.push(0x80 | length as u8),
            126..65536 => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(parts[0]);
        frame.extend(parts[1]);
        Ok(self.stream.write_all(&frame)?)
    }

    /// Sends a text.
    pub(crate) fn send_text(&mut self, text: &str) -> Result<()> {
        self.send(1, [text.as_bytes(), &[]])
    }

    /// Sends input of a program.
    pub(crate) fn send_input(&mut self, pid: u32, offset: u64, bytes: &[u8]) -> Result<()> {
        let header = Header { kind: Kind::Input, channel: pid, offset };
        self.send(2, [&header.encode(), bytes])
    }

    /// Sends a frame of a sync session.
    pub(crate) fn send_sync(&mut self, session: u32, frame: u64, payload: &[u8]) -> Result<()> {
        let header = Header { kind: Kind::Sync, channel: session, offset: frame };
        self.send(2, [&header.encode(), payload])
    }

    /// Whether something has come that was not handed out.
    pub(crate) fn has_more(&self) -> Result<bool> {
        if self.start < self.end {
            return Ok(true);
        }
        self.stream.set_nonblocking(true)?;
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false)?;
        match peeked {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a request and waits for its answer; output that comes before it is thrown away.
    pub(crate) fn request(&mut self, mut request: Value) -> Result<Value> {
        self.requests += 1;
        let id = self.requests;
        request["id"] = id.into();
        self.send_text(&request.to_string())?;
        loop {
            if let Message::Text(text) = self.next()?
                // Answers that are no answer to us, and output of 1.x, are not worth a parse.
                && !text.starts_with(br#"{"type":"std"#)
            {
                let reply: Value = serde_json::from_slice(text)?;
                match reply["type"].as_str() {
                    Some("error") => return Err(reply["error"].to_string().into()),
                    Some(_) if reply["id"] == id => return Ok(reply),
                    _ => {}
                }
            }
        }
    }

    /// Starts a program of ours and, in 1.x always, views it. In 2.0 it runs in a terminal where one is wanted.
    pub(crate) fn spawn(&mut self, role: Role, terminal: bool, credit: Option<u64>) -> Result<u32> {
        let mut arguments = role.arguments();
        let command = arguments.remove(0);
        let request = match self.protocol {
            Protocol::V1 => {
                json!({"type": "spawn", "processType": "node", "command": command, "args": arguments})
            }
            Protocol::V2 => {
                let mut request =
                    json!({"type": "spawn", "kind": "node", "command": command, "args": arguments});
                if terminal {
                    request["terminal"] = json!({"cols": 100, "rows": 30});
                }
                if let Some(credit) = credit {
                    request["credit"] = credit.into();
                }
                request
            }
        };
        let reply = self.request(request)?;
        Ok(reply["pid"].as_u64().ok_or("the reply has no pid")?.try_into()?)
    }

    /// Views a process's output from its end on.
    pub(crate) fn attach(&mut self, pid: u32, credit: u64) -> Result<()> {
        self.request(
            json!({"type": "attach", "pid": pid, "from": u32::MAX as u64 * 1024, "credit": credit}),
        )?;
        Ok(())
    }

    /// Grants a view more.
    pub(crate) fn grant(&mut self, pid: u32, bytes: u64) -> Result<()> {
        self.send_text(&format!(r#"{{"type":"credit","pid":{pid},"bytes":{bytes}}}"#))
    }

    /// Ends a process.
    pub(crate) fn kill(&mut self, pid: u32) -> Result<()> {
        self.request(json!({"type": "kill", "pid": pid, "signal": "SIGKILL"}))?;
        Ok(())
    }

    /// Reads the output of a process, granting more as it comes, and hands each piece's length to `each` until that returns
    /// false or the process ends.
    pub(crate) fn read_output(&mut self, pid: u32, mut each: impl FnMut(usize) -> bool) -> Result<()> {
        self.expect_much();
        let (v2, mut ungranted) = (self.protocol == Protocol::V2, 0);
        loop {
            let length = match self.next()? {
                Message::Output(bytes) => bytes.len(),
                Message::Text(text) if text.starts_with(br#"{"type":"exit""#) => return Ok(()),
                Message::Text(text) if text.starts_with(br#"{"type":"std"#) => text.len(),
                Message::Text(_) => continue,
            };
            ungranted += length as u64;
            if v2 && ungranted >= WINDOW / 2 {
                self.grant(pid, ungranted)?;
                ungranted = 0;
            }
            if !each(length) {
                return Ok(());
            }
        }
    }
}
