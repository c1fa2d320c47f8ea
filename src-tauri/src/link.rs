//! A connection of 2.0 to the bridge, with which this app asks, and is told what happens.
//!
//! One task owns the socket: it sends what is asked and hands each reply to who waits for it. What comes unasked goes through a short
//! queue; the bridge counts what its own bound drops, so who reads [`Link::news`] asks anew after `missed`.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use mhnos_protocol::v2::{Message, Reply, Request, SUBPROTOCOL};
use mhnos_protocol::{RequestId, limits};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::WebSocketStream;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use tungstenite::protocol::WebSocketConfig;

use crate::engine::{Endpoint, Way};

/// How long an answer may take, where nothing has to end first.
pub(crate) const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Requests that wait to be sent. At the bound who asks waits.
const ASKED: usize = 16;

/// Unasked messages that wait to be read. At the bound no more is read from the socket, and the bridge drops its events.
const NEWS: usize = 256;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Socket = WebSocketStream<Box<dyn Stream>>;

/// Why something could not be asked; a sentence for the person.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// No connection, or it broke off.
    #[error("the runtime does not answer: see its state above, or Doctor")]
    Gone,
    /// No connection could be made.
    #[error("the runtime cannot be reached: {0}")]
    Unreachable(String),
    /// It said no.
    #[error("{0}")]
    Refused(String),
}

/// A connection. Who holds it is told what happens.
pub(crate) struct Link {
    /// What comes unasked, in order.
    pub(crate) news: mpsc::Receiver<Reply>,
    /// To ask with; others have clones.
    pub(crate) line: Line,
}

/// What asks over a [`Link`].
#[derive(Clone)]
pub(crate) struct Line(mpsc::Sender<(Request, oneshot::Sender<Reply>)>);

impl Line {
    /// Asks, and waits for the reply.
    ///
    /// # Errors
    /// When the connection is gone, or the bridge refuses.
    pub(crate) async fn ask(&self, request: Request) -> Result<Reply, LinkError> {
        let (answer, answered) = oneshot::channel();
        self.0.send((request, answer)).await.map_err(|_| LinkError::Gone)?;
        match answered.await {
            Ok(Reply::Error { error, .. }) => Err(LinkError::Refused(error)),
            Ok(reply) => Ok(reply),
            Err(_) => Err(LinkError::Gone),
        }
    }
}

/// Connects, and makes a round trip: only then there is a [`Link`].
///
/// # Errors
/// When nothing answers there, or not in time.
pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Link, LinkError> {
    let connecting = async {
        let socket = open(endpoint).await?;
        let (asked, asking) = mpsc::channel(ASKED);
        let (told, news) = mpsc::channel(NEWS);
        tokio::spawn(carry(socket, asking, told));
        let link = Link { news, line: Line(asked) };
        link.line.ask(Request::Ping).await?;
        Ok(link)
    };
    tokio::time::timeout(ANSWER_TIME, connecting)
        .await
        .unwrap_or_else(|_| Err(LinkError::Unreachable(format!("{} does not answer", endpoint.url))))
}

async fn open(endpoint: &Endpoint) -> Result<Socket, LinkError> {
    let unreachable = |error: &dyn std::fmt::Display| LinkError::Unreachable(error.to_string());
    let mut request = endpoint.url.as_str().into_client_request().map_err(|error| unreachable(&error))?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    let stream: Box<dyn Stream> = match &endpoint.way {
        Way::Control(path) => Box::new(UnixStream::connect(path).await.map_err(|error| unreachable(&error))?),
        Way::Token(token) => {
            let token =
                HeaderValue::try_from(format!("Bearer {token}")).map_err(|error| unreachable(&error))?;
            request.headers_mut().insert(AUTHORIZATION, token);
            let stream = TcpStream::connect(("127.0.0.1", endpoint.port)).await;
            Box::new(stream.map_err(|error| unreachable(&error))?)
        }
    };
    let configuration = WebSocketConfig::default()
        .max_message_size(Some(limits::MESSAGE_BYTES))
        .max_frame_size(Some(limits::MESSAGE_BYTES));
    let connected = tokio_tungstenite::client_async_with_config(request, stream, Some(configuration)).await;
    connected.map(|(socket, _)| socket).map_err(|error| unreachable(&error))
}

/// The request a message answers.
#[derive(Deserialize)]
struct Answers {
    id: Option<u32>,
}

async fn carry(
    mut socket: Socket,
    mut asking: mpsc::Receiver<(Request, oneshot::Sender<Reply>)>,
    told: mpsc::Sender<Reply>,
) {
    let mut waiting = HashMap::new();
    let mut next = 0;
    loop {
        let text = tokio::select! {
            asked = asking.recv() => {
                let Some((request, answer)) = asked else { break };
                next += 1;
                let message = Message { id: Some(RequestId::Number(next)), request };
                let Ok(text) = serde_json::to_string(&message) else { continue };
                // Who gave up waiting needs no place any more.
                waiting.retain(|_, waits: &mut oneshot::Sender<Reply>| !waits.is_closed());
                waiting.insert(next, answer);
                if socket.send(tungstenite::Message::text(text)).await.is_err() {
                    break;
                }
                continue;
            }
            message = socket.next() => match message {
                Some(Ok(tungstenite::Message::Text(text))) => text,
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => break,
            },
            // The holder is gone.
            () = told.closed() => break,
        };
        // What this version does not know is passed over.
        let Ok(reply) = serde_json::from_str::<Reply>(&text) else { continue };
        let id = serde_json::from_str::<Answers>(&text).ok().and_then(|answers| answers.id);
        match id.and_then(|id| waiting.remove(&id)) {
            Some(answer) => drop(answer.send(reply)),
            None => {
                if told.send(reply).await.is_err() {
                    break;
                }
            }
        }
    }
}
