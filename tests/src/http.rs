//! Bytes over a plain socket: requests no well-behaved client would send, and handshakes by hand.

use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::within;

/// The example key of RFC 6455.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// An answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status; 0 where the connection was closed without an answer.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// What followed, up to its announced length.
    pub body: String,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A handshake for `/` with these headers, each as `Name: value`, and no others but those of WebSocket itself.
pub fn handshake(headers: &[&str]) -> String {
    let mut request = format!(
        "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
    );
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request + "\r\n"
}

/// Sends a request and reads the answer.
///
/// # Panics
/// When there is none in time.
pub async fn exchange(port: u16, request: impl AsRef<[u8]>) -> Answer {
    exchange_on(Ipv4Addr::LOCALHOST.into(), port, request).await.0
}

/// As [`exchange`], over an address, and keeps the socket.
///
/// # Panics
/// When there is no answer in time.
pub async fn exchange_on(address: IpAddr, port: u16, request: impl AsRef<[u8]>) -> (Answer, TcpStream) {
    let mut socket = TcpStream::connect((address, port)).await.expect("the runtime listens");
    let answer = within("an answer", async {
        // Whoever answers before he has read all may close: then there is an answer all the same.
        let _ = socket.write_all(request.as_ref()).await;
        read_answer(&mut socket).await
    })
    .await;
    (answer, socket)
}

async fn read_answer(socket: &mut TcpStream) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // A byte at a time: what follows the head of an upgrade belongs to the WebSocket.
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let mut answer = Answer { status, head, body: String::new() };
    let length = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    if socket.read_exact(&mut body).await.is_ok() {
        answer.body = String::from_utf8_lossy(&body).into_owned();
    }
    answer
}

/// A WebSocket whose frames are written by hand.
pub struct RawSocket {
    /// The socket behind the handshake.
    pub socket: TcpStream,
}

impl RawSocket {
    /// Shakes hands with these headers beside those of WebSocket itself.
    ///
    /// # Panics
    /// When the handshake is refused.
    pub async fn open(port: u16, headers: &[&str]) -> Self {
        let (answer, socket) = exchange_on(Ipv4Addr::LOCALHOST.into(), port, handshake(headers)).await;
        assert_eq!(answer.status, 101, "{}{}", answer.head, answer.body);
        Self { socket }
    }

    /// Opens one with the token.
    ///
    /// # Panics
    /// When the handshake is refused.
    pub async fn with_token(runtime: &crate::Runtime) -> Self {
        let (host, token) = (
            format!("Host: localhost:{}", runtime.port()),
            format!("Authorization: Bearer {}", runtime.token()),
        );
        Self::open(runtime.port(), &[&host, &token]).await
    }

    /// Writes bytes as they are.
    ///
    /// # Panics
    /// When the socket is closed.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.expect("the runtime reads");
    }

    /// The code and the reason of the close that comes next; other messages are passed over. `None` where the socket ends without one.
    ///
    /// # Panics
    /// When neither comes in time.
    pub async fn closed(self) -> Option<(u16, String)> {
        self.all().await.1
    }

    /// The messages that come until the close, and the close.
    ///
    /// # Panics
    /// When it is not closed in time.
    pub async fn all(self) -> (Vec<String>, Option<(u16, String)>) {
        use futures_util::StreamExt;
        use tokio_tungstenite::tungstenite::Message;
        let config = WebSocketConfig::default();
        let mut socket = WebSocketStream::from_raw_socket(self.socket, Role::Client, Some(config)).await;
        let mut messages = Vec::new();
        let close = within("the connection is closed", async {
            loop {
                match socket.next().await {
                    Some(Ok(Message::Close(close))) => {
                        return close.map(|close| (close.code.into(), close.reason.to_string()));
                    }
                    Some(Ok(message)) => messages.push(message.to_string()),
                    Some(Err(_)) | None => return None,
                }
            }
        });
        let close = close.await;
        (messages, close)
    }
}

/// A client's frame: first byte as given (FIN, reserved bits, opcode), masked with zeroes.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}
