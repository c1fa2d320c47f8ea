//! A client that says what the published MHNOS says: JSON as it stands in that client, nothing typed, nothing checked.

use std::collections::VecDeque;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::{ORIGIN, Runtime, within};

/// What a WebSocket stands on.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub(crate) type Socket = WebSocketStream<Box<dyn Stream>>;

/// Opens a WebSocket with these headers, whatever the size of its messages.
pub(crate) async fn open(port: u16, headers: &[(&'static str, &str)]) -> Result<Socket, tungstenite::Error> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await?;
    socket.set_nodelay(true)?;
    open_over(Box::new(socket), port, headers).await
}

/// The same over a socket that is there already.
pub(crate) async fn open_over(
    socket: Box<dyn Stream>,
    port: u16,
    headers: &[(&'static str, &str)],
) -> Result<Socket, tungstenite::Error> {
    let mut request = format!("ws://localhost:{port}/").into_client_request()?;
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).expect("the value can stand in a header");
        request.headers_mut().insert(HeaderName::from_static(name), value);
    }
    let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    let (socket, _) = tokio_tungstenite::client_async_with_config(request, socket, Some(config)).await?;
    Ok(socket)
}

/// A connection.
pub struct Client {
    socket: Socket,
    /// Messages that came while another was waited for, in order.
    passed_over: VecDeque<Value>,
    next_id: u32,
    /// The first message.
    pub connected: Value,
}

/// All a program printed, and how it ended.
#[derive(Debug)]
pub struct Run {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// The `exit` message.
    pub exit: Value,
}

/// Whether a message answers this request. The repeated `status` of a quirk answer does so too.
fn answers(message: &Value, id: &Value) -> bool {
    message["id"] == *id
}

impl Client {
    /// Connects as the page that tests allow.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn connect(runtime: &Runtime) -> Self {
        Self::connect_as(runtime, ORIGIN).await
    }

    /// Connects as any page.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn connect_as(runtime: &Runtime, origin: &str) -> Self {
        Self::connect_with(runtime, ("origin", origin)).await
    }

    /// Connects as a local program.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn connect_with_token(runtime: &Runtime) -> Self {
        Self::connect_with(runtime, ("authorization", &format!("Bearer {}", runtime.token()))).await
    }

    async fn connect_with(runtime: &Runtime, header: (&'static str, &str)) -> Self {
        Self::connect_to(runtime.port(), header).await
    }

    /// Connects with this header to a port, behind which is whatever runtime.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn connect_to(port: u16, header: (&'static str, &str)) -> Self {
        Self::try_connect(port, &[header]).await.expect("it is accepted")
    }

    /// Connects with these headers.
    ///
    /// # Errors
    /// With the status it is refused with.
    ///
    /// # Panics
    /// When it is neither accepted nor refused.
    pub async fn try_connect(port: u16, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let socket = match within("an answer", open(port, headers)).await {
            Ok(socket) => socket,
            Err(tungstenite::Error::Http(response)) => return Err(response.status().as_u16()),
            Err(error) => panic!("neither accepted nor refused: {error}"),
        };
        let (connected, passed_over) = (Value::Null, VecDeque::new());
        let mut client = Self { socket, passed_over, next_id: 1, connected };
        client.connected = client.next().await;
        assert_eq!(client.connected["type"], "connected");
        Ok(client)
    }

    /// Sends any text.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.send_message(Message::text(text.into())).await;
    }

    /// Sends any message.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn send_message(&mut self, message: Message) {
        within("a message is sent", self.socket.send(message)).await.expect("the connection lives");
    }

    /// Sends a message as it is.
    pub async fn send(&mut self, message: Value) {
        self.send_text(message.to_string()).await;
    }

    /// Sends a request with an id of its own, which is returned.
    pub async fn begin(&mut self, mut request: Value) -> Value {
        let id = json!(format!("req-{}", self.next_id));
        self.next_id += 1;
        request["id"] = id.clone();
        self.send(request).await;
        id
    }

    /// Sends a request and returns what answers it.
    pub async fn request(&mut self, request: Value) -> Value {
        let id = self.begin(request).await;
        self.answer(&id).await
    }

    /// What answers a request.
    pub async fn answer(&mut self, id: &Value) -> Value {
        self.take(&format!("an answer to {id}"), |message| answers(message, id)).await
    }

    /// The sentence with which a request is refused.
    ///
    /// # Panics
    /// When it is not.
    pub async fn refusal(&mut self, request: Value) -> String {
        let shown = request.to_string();
        let answer = self.request(request).await;
        assert_eq!(answer["type"], "error", "{shown} was answered with {answer}");
        let sentence = answer["error"].as_str().expect("an error is a sentence").to_owned();
        assert!(!sentence.is_empty());
        sentence
    }

    /// The next message, in order of arrival.
    pub async fn next(&mut self) -> Value {
        match self.passed_over.pop_front() {
            Some(message) => message,
            None => self.receive().await,
        }
    }

    /// The first message that fits; those before it stay for others.
    pub async fn take(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(index) = self.passed_over.iter().position(&fits) {
            return self.passed_over.remove(index).expect("it was found there");
        }
        within(what, async {
            loop {
                let message = self.receive().await;
                if fits(&message) {
                    return message;
                }
                self.passed_over.push_back(message);
            }
        })
        .await
    }

    /// Messages that have come and that nobody has asked for: those before the answer to a request that is made now.
    pub async fn unasked(&mut self) -> Vec<Value> {
        let id = self.begin(json!({"type": "list"})).await;
        let mut messages = Vec::new();
        loop {
            let message = self.next().await;
            if answers(&message, &id) {
                return messages;
            }
            messages.push(message);
        }
    }

    async fn receive(&mut self) -> Value {
        loop {
            match within("a message", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(&text).expect("the runtime sends JSON");
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("the connection was lost: {other:?}"),
            }
        }
    }

    /// The close that comes next, code and reason; other messages are passed over. `None` where there is none.
    pub async fn closed(mut self) -> Option<(u16, String)> {
        within("the connection is closed", async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(close))) => {
                        return close.map(|close| (close.code.into(), close.reason.to_string()));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        })
        .await
    }

    /// Spawns a program.
    ///
    /// # Panics
    /// When it is not started.
    pub async fn spawn(&mut self, kind: &str, command: &str, args: &[&str], options: Value) -> u32 {
        let request = json!({"type": "spawn", "processType": kind, "command": command, "args": args, "options": options});
        let reply = self.request(request).await;
        assert_eq!(reply["type"], "spawned", "{reply}");
        reply["pid"].as_u64().expect("a pid is a number") as u32
    }

    /// Spawns `bash -c` with a script, in a terminal.
    pub async fn bash(&mut self, script: &str) -> u32 {
        self.spawn("shell", "/bin/bash", &["-c", script], json!({})).await
    }

    /// Spawns a Python program given as text, with pipes.
    pub async fn python(&mut self, program: &str) -> u32 {
        self.spawn("python", "-c", &[program], json!({})).await
    }

    /// Everything a program prints, to its end.
    pub async fn run(&mut self, pid: u32) -> Run {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        loop {
            let message = self.of(pid).await;
            let data = || message["data"].as_str().expect("output is text");
            match message["type"].as_str() {
                Some("stdout") => stdout.push_str(data()),
                Some("stderr") => stderr.push_str(data()),
                _ => return Run { stdout, stderr, exit: message },
            }
        }
    }

    /// The next `stdout`, `stderr` or `exit` of a process.
    pub async fn of(&mut self, pid: u32) -> Value {
        let fits = |message: &Value| {
            message["pid"] == pid
                && message["type"].as_str().is_some_and(|name| ["stdout", "stderr", "exit"].contains(&name))
        };
        self.take(&format!("something of process {pid}"), fits).await
    }

    /// Output of a process up to and including this text.
    ///
    /// # Panics
    /// When it ends without it.
    pub async fn output_until(&mut self, pid: u32, wanted: &str) -> String {
        let mut text = String::new();
        while !text.contains(wanted) {
            let message = self.of(pid).await;
            assert_ne!(message["type"], "exit", "it ended before {wanted:?}: {text:?}");
            text.push_str(message["data"].as_str().expect("output is text"));
        }
        text
    }

    /// Writes files into the workspace, and returns the results.
    ///
    /// # Panics
    /// When the reply has another form.
    pub async fn push(&mut self, files: Value) -> Value {
        let reply = self.request(json!({"type": "fsync", "operation": "push", "files": files})).await;
        assert_eq!(reply["type"], "fsyncResult", "{reply}");
        // The repetition for the client that knows no `fsyncResult`.
        let repeated = self.answer(&reply["id"]).await;
        assert_eq!(repeated["type"], "status");
        reply["results"].clone()
    }

    /// Reads all files of the workspace: the reply.
    ///
    /// # Panics
    /// When the reply has another form.
    pub async fn pull(&mut self) -> Value {
        let reply = self.request(json!({"type": "fsync", "operation": "pull"})).await;
        assert_eq!(reply["type"], "fsyncResult", "{reply}");
        let repeated = self.answer(&reply["id"]).await;
        assert_eq!(repeated["type"], "status");
        reply
    }

    /// Asks for something small and is answered: the connection works.
    ///
    /// # Panics
    /// When it does not.
    pub async fn still_works(&mut self) {
        let pong = self.request(json!({"type": "ping"})).await;
        assert_eq!(pong["type"], "pong");
        assert_eq!(self.answer(&pong["id"]).await["type"], "status");
    }
}
