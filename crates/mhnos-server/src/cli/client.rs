//! One connection to the running runtime, speaking 2.0 over the Unix socket of its state folder.
//!
//! Two tasks stand behind a [`Client`]: one sends what is handed to it through a short queue, one receives and hands
//! each message to who waits for it ([`routes`]). The receiving task never waits for a taker, so replies come through
//! while output or files pile up; what can pile up is bounded by credit ([`feed`]).

pub(crate) mod feed;
mod routes;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use mhnos_protocol::frame::Header;
use mhnos_protocol::v2::{ErrorCode, Event, Message, PROTOCOL_VERSION, Reply, Request, SUBPROTOCOL};
use mhnos_protocol::{RequestId, id_of_prefix, limits};
use mhnos_server::state::{RunningRuntime, StateDirectory};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tungstenite::protocol::WebSocketConfig;

use self::feed::Feed;
use self::routes::Routes;
use super::failure::Failure;

/// Time for the runtime to accept the connection and greet. A healthy one needs milliseconds.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Time for the last messages to leave when the command is done.
const FAREWELL_TIME: Duration = Duration::from_secs(1);

/// Messages that wait to be sent. At the bound who sends waits.
const SENDING_MESSAGES: usize = 16;

/// Bytes the socket's buffer may hold beyond what the system takes: a few of the largest messages this side sends.
const SENDING_BYTES: usize = 4 << 20;

type Socket = WebSocketStream<UnixStream>;

pub(crate) struct Client {
    pub(crate) welcome: Welcome,
    routes: Arc<Routes>,
    outgoing: mpsc::Sender<tungstenite::Message>,
    sending: JoinHandle<()>,
    receiving: JoinHandle<()>,
}

/// What the runtime said of itself.
pub(crate) struct Welcome {
    /// Another value means another run of the runtime: pids and offsets of before mean nothing.
    pub(crate) instance: String,
}

impl Client {
    /// Connects to the runtime that the state folder names.
    pub(crate) async fn connect(state: &StateDirectory) -> Result<Self, Failure> {
        let runtime = state.runtime()?.ok_or(Failure::NoRuntime)?;
        let path = state.control_socket();
        let connecting = async {
            let mut socket = open_socket(&runtime, &path).await?;
            let welcome = greeting(&mut socket).await?;
            Ok((socket, welcome))
        };
        let (socket, welcome) = timeout(CONNECT_TIME, connecting).await.unwrap_or_else(|_| {
            Err(Failure::Other(format!(
                "the runtime (pid {}) does not answer at {}: see `mhnos-runtime logs` and start it anew",
                runtime.pid, runtime.url
            )))
        })?;
        let (sink, stream) = socket.split();
        let routes = Arc::new(Routes::default());
        let (outgoing, queue) = mpsc::channel(SENDING_MESSAGES);
        let receiving = tokio::spawn(receive(stream, routes.clone()));
        Ok(Self { welcome, sending: tokio::spawn(send(sink, queue)), receiving, routes, outgoing })
    }

    /// Asks and waits for the reply. An error reply is a [`Failure`].
    pub(crate) async fn request(&self, request: Request) -> Result<Reply, Failure> {
        let id = self.routes.next_id();
        let answer = self.routes.expect(id, None);
        self.ask(id, request, answer).await
    }

    /// Starts a program whose output goes to `view` from the first byte.
    pub(crate) async fn spawn(&self, request: Request, view: Arc<Feed>) -> Result<Reply, Failure> {
        let id = self.routes.next_id();
        let answer = self.routes.expect(id, Some(view));
        self.ask(id, request, answer).await
    }

    /// Views a process: its output goes to `view` from here on.
    pub(crate) async fn attach(&self, pid: u32, request: Request, view: Arc<Feed>) -> Result<Reply, Failure> {
        self.routes.add_view(pid, view);
        self.request(request).await
    }

    /// Events from now on, once they are subscribed to.
    pub(crate) fn events(&self) -> mpsc::Receiver<Event> {
        self.routes.events()
    }

    /// Asks and does not wait. What the runtime has to say about it is not heard.
    pub(crate) async fn tell(&self, request: Request) -> Result<(), Failure> {
        self.send_request(self.routes.next_id(), request).await
    }

    /// Begins the transfer of a file. The reply is awaited separately, because blocks go before or come after it.
    pub(crate) async fn transfer(
        &self,
        request: Request,
        blocks: Option<Arc<Feed>>,
    ) -> Result<Transfer, Failure> {
        let id = self.routes.next_id();
        if let Some(blocks) = blocks {
            self.routes.add_transfer(id, blocks);
        }
        let transfer = Transfer { id, answer: self.routes.expect(id, None), routes: self.routes.clone() };
        self.send_request(id, request).await?;
        Ok(transfer)
    }

    /// Sends a header and its payload as one frame.
    pub(crate) async fn send_frame(&self, header: Header, payload: &[u8]) -> Result<(), Failure> {
        let header = header.encode();
        let mut frame = BytesMut::with_capacity(header.len() + payload.len());
        frame.extend_from_slice(&header);
        frame.extend_from_slice(payload);
        self.send_message(tungstenite::Message::Binary(frame.freeze())).await
    }

    /// Sends what is still queued and says goodbye.
    pub(crate) async fn close(mut self) {
        // The sending task ends when nobody can hand it anything any more.
        let (closed, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.outgoing, closed));
        let _ = timeout(FAREWELL_TIME, &mut self.sending).await;
    }

    async fn ask(
        &self,
        id: u32,
        request: Request,
        answer: oneshot::Receiver<Reply>,
    ) -> Result<Reply, Failure> {
        self.send_request(id, request).await?;
        understood(answer.await)
    }

    async fn send_request(&self, id: u32, request: Request) -> Result<(), Failure> {
        let message = Message { id: Some(RequestId::Number(id)), request };
        let text = serde_json::to_string(&message)
            .map_err(|error| Failure::Other(format!("could not put the request into JSON: {error}")))?;
        self.send_message(tungstenite::Message::text(text)).await
    }

    async fn send_message(&self, message: tungstenite::Message) -> Result<(), Failure> {
        self.outgoing.send(message).await.map_err(|_| Failure::Disconnected)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.sending.abort();
        self.receiving.abort();
    }
}

/// A file on its way. Dropping it forgets it on this side only.
pub(crate) struct Transfer {
    /// The channel of its blocks.
    pub(crate) id: u32,
    answer: oneshot::Receiver<Reply>,
    routes: Arc<Routes>,
}

impl Transfer {
    pub(crate) async fn answer(&mut self) -> Result<Reply, Failure> {
        understood((&mut self.answer).await)
    }

    /// The answer, if it came already.
    pub(crate) fn early_answer(&mut self) -> Option<Result<Reply, Failure>> {
        match self.answer.try_recv() {
            Ok(reply) => Some(understood(Ok(reply))),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(Failure::Disconnected)),
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.routes.remove_transfer(self.id);
    }
}

/// What to say of a reply that is none of those the request has.
pub(crate) fn unexpected(reply: &Reply) -> Failure {
    Failure::Other(format!(
        "the runtime answered with something else than was asked for ({reply:.60?}): is it of another version?"
    ))
}

fn understood(answer: Result<Reply, oneshot::error::RecvError>) -> Result<Reply, Failure> {
    match answer {
        Ok(Reply::Error { code, error, .. }) => Err(Failure::Refused { code, error }),
        Ok(reply) => Ok(reply),
        Err(_) => Err(Failure::Disconnected),
    }
}

async fn open_socket(runtime: &RunningRuntime, path: &Path) -> Result<Socket, Failure> {
    let unusable = |error: tungstenite::Error| {
        Failure::Other(format!(
            "what listens at {} is not this runtime ({error}): see `mhnos-runtime doctor`",
            path.display()
        ))
    };
    let stream = UnixStream::connect(path).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound => Failure::NoRuntime,
        _ => Failure::Other(format!("{} cannot be reached: {error}: check who owns it", path.display())),
    })?;
    let mut request = runtime.url.as_str().into_client_request().map_err(unusable)?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    let configuration = WebSocketConfig::default()
        .max_write_buffer_size(SENDING_BYTES)
        .max_message_size(Some(limits::MESSAGE_BYTES))
        .max_frame_size(Some(limits::MESSAGE_BYTES));
    match tokio_tungstenite::client_async_with_config(request, stream, Some(configuration)).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => {
            let said = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            let status = response.status().as_u16();
            Err(Failure::Other(format!("the runtime refused the connection ({status}): {}", said.trim())))
        }
        // The peer check closes without a word.
        Err(
            tungstenite::Error::Io(_)
            | tungstenite::Error::ConnectionClosed
            | tungstenite::Error::Protocol(tungstenite::error::ProtocolError::HandshakeIncomplete),
        ) => Err(Failure::Other(
            "the runtime does not take commands from here: not from another user, nor from a program that it has started itself \
             (a terminal in the tab is one). Use a terminal of your own"
                .into(),
        )),
        Err(error) => Err(unusable(error)),
    }
}

async fn greeting(socket: &mut Socket) -> Result<Welcome, Failure> {
    let silent = || {
        Failure::Other(
            "the runtime closed the connection without a greeting: see `mhnos-runtime logs`".into(),
        )
    };
    while let Some(Ok(message)) = socket.next().await {
        let tungstenite::Message::Text(text) = message else { continue };
        return match serde_json::from_str(&text) {
            Ok(Reply::Welcome { protocol, instance, .. }) if protocol == PROTOCOL_VERSION => {
                Ok(Welcome { instance })
            }
            Ok(Reply::Welcome { protocol, version, .. }) => Err(Failure::Other(format!(
                "the runtime (version {version}) speaks protocol {protocol}, this command {PROTOCOL_VERSION}: \
                 start the runtime of this version"
            ))),
            Ok(Reply::Error { code, error, .. }) => Err(Failure::Refused { code, error }),
            _ => Err(silent()),
        };
    }
    Err(silent())
}

async fn send(
    mut sink: SplitSink<Socket, tungstenite::Message>,
    mut queue: mpsc::Receiver<tungstenite::Message>,
) {
    while let Some(message) = queue.recv().await {
        // What is queued goes out together; a single keystroke goes at once.
        let result = if queue.is_empty() { sink.send(message).await } else { sink.feed(message).await };
        if result.is_err() {
            // The receiving side sees the same end and tells everyone.
            return;
        }
    }
    let _ = sink.close().await;
}

async fn receive(mut stream: SplitStream<Socket>, routes: Arc<Routes>) {
    while let Some(Ok(message)) = stream.next().await {
        let proper = match message {
            tungstenite::Message::Binary(frame) => routes.deliver_frame(frame),
            tungstenite::Message::Text(text) => {
                routes.deliver_reply(understand(&text));
                true
            }
            _ => true,
        };
        if !proper {
            break;
        }
    }
    routes.close();
}

/// A message this version does not know is passed over, unless somebody waits for it.
fn understand(text: &str) -> Reply {
    serde_json::from_str(text).unwrap_or_else(|_| Reply::Error {
        // No request has the number 0.
        id: Some(id_of_prefix(text.as_bytes()).unwrap_or(RequestId::Number(0))),
        code: ErrorCode::Malformed,
        error: "the runtime's answer was not understood: is it of another version?".into(),
    })
}
