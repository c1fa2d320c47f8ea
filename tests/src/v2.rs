//! A 2.0 client in the types of `mhnos-protocol`.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use mhnos_protocol::frame::{Header, Kind};
use mhnos_protocol::v2::{self, ErrorCode, Reply, Request, SUBPROTOCOL, Spawn};
use mhnos_protocol::{ProcessKind, RequestId};
use tokio::net::UnixStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::{Runtime, v1, within};

/// What the runtime sends.
#[allow(clippy::large_enum_variant, reason = "few exist at a time, and tests match through it")]
#[derive(Debug)]
pub enum Incoming {
    /// Text.
    Reply(Reply),
    /// Binary.
    Frame(Header, Bytes),
}

/// A connection.
pub struct Client {
    socket: v1::Socket,
    passed_over: VecDeque<Incoming>,
    next_id: u32,
    /// The fields of the first message: protocol, version, instance, workspace.
    pub welcome: Reply,
}

/// A process's output as one viewer received it.
#[derive(Debug, Default)]
pub struct View {
    /// Offset of the first byte.
    pub from: u64,
    /// All of it, in the order of the log.
    pub bytes: Vec<u8>,
    /// What came of it from standard error.
    pub errors: Vec<u8>,
    /// The runs of streams: how long, and whether of standard error.
    pub frames: Vec<(usize, bool)>,
}

impl View {
    /// Where the next byte belongs.
    pub fn position(&self) -> u64 {
        self.from + self.bytes.len() as u64
    }

    fn take(&mut self, header: Header, payload: &[u8]) {
        assert_eq!(header.offset, self.position(), "no byte is missing and none comes twice");
        assert!(!payload.is_empty(), "a frame of output holds output");
        assert!(matches!(header.kind, Kind::Stdout | Kind::Stderr));
        self.frames.push((payload.len(), header.kind == Kind::Stderr));
        self.bytes.extend_from_slice(payload);
        if header.kind == Kind::Stderr {
            self.errors.extend_from_slice(payload);
        }
    }
}

/// The id a reply repeats.
pub fn id_of(reply: &Reply) -> Option<RequestId> {
    let mut message = serde_json::to_value(reply).ok()?;
    serde_json::from_value(message["id"].take()).ok()
}

/// A program to spawn: Python with pipes, viewed from its first byte with much credit.
pub fn python(program: &str, arguments: &[&str]) -> Spawn {
    Spawn {
        kind: ProcessKind::Python,
        command: Some("-c".into()),
        args: std::iter::once(program).chain(arguments.iter().copied()).map(str::to_owned).collect(),
        cwd: None,
        env: BTreeMap::new(),
        timeout: None,
        terminal: None,
        credit: Some(1 << 20),
    }
}

/// A program to spawn: `bash -c` with pipes, viewed from its first byte with much credit. Python starts it and is gone, because
/// `shell` always has a terminal.
pub fn bash(script: &str) -> Spawn {
    python("import os, sys; os.execv('/bin/bash', ['bash', '-c', sys.argv[1]])", &[script])
}

/// A program to spawn: `bash -c` with a script in a terminal, viewed from its first byte with much credit.
pub fn terminal(script: &str) -> Spawn {
    Spawn {
        kind: ProcessKind::Shell,
        command: Some("/bin/bash".into()),
        args: vec!["-c".into(), script.to_owned()],
        ..python("", &[])
    }
}

impl Client {
    /// Connects as a local program.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn connect(runtime: &Runtime) -> Self {
        Self::connect_with(runtime, ("authorization", &format!("Bearer {}", runtime.token()))).await
    }

    /// Connects as a page.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn connect_as(runtime: &Runtime, origin: &str) -> Self {
        Self::connect_with(runtime, ("origin", origin)).await
    }

    /// Connects through the Unix socket of the state folder.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn connect_to_control_socket(runtime: &Runtime) -> Self {
        let path = runtime.state().join("control.sock");
        let socket = UnixStream::connect(path).await.expect("the runtime listens there");
        let headers = [("sec-websocket-protocol", SUBPROTOCOL)];
        let opened = v1::open_over(Box::new(socket), runtime.port(), &headers);
        Self::greeted(within("a connection", opened).await.expect("it is accepted")).await
    }

    /// Connects as a page that shows a ticket.
    ///
    /// # Errors
    /// With the status it is refused with.
    ///
    /// # Panics
    /// When it is neither accepted nor refused.
    pub async fn connect_with_ticket(runtime: &Runtime, origin: &str, ticket: &str) -> Result<Self, u16> {
        let offers = format!("{SUBPROTOCOL}, {}{ticket}", v2::TICKET_SUBPROTOCOL);
        Self::try_connect(runtime, &[("origin", origin), ("sec-websocket-protocol", &offers)]).await
    }

    /// Connects with these headers.
    ///
    /// # Errors
    /// With the status it is refused with.
    ///
    /// # Panics
    /// When it is neither accepted nor refused.
    pub async fn try_connect(runtime: &Runtime, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        match within("an answer", v1::open(runtime.port(), headers)).await {
            Ok(socket) => Ok(Self::greeted(socket).await),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("neither accepted nor refused: {error}"),
        }
    }

    async fn connect_with(runtime: &Runtime, header: (&'static str, &str)) -> Self {
        Self::connect_to(runtime.port(), header).await
    }

    /// Connects with this header to a port, behind which is whatever runtime.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn connect_to(port: u16, header: (&'static str, &str)) -> Self {
        let headers = [header, ("sec-websocket-protocol", SUBPROTOCOL)];
        let socket = within("a connection", v1::open(port, &headers)).await.expect("it is accepted");
        Self::greeted(socket).await
    }

    async fn greeted(socket: v1::Socket) -> Self {
        let welcome = Reply::Done { id: None };
        let mut client = Self { socket, passed_over: VecDeque::new(), next_id: 1, welcome };
        client.welcome = client.next_reply().await;
        assert!(matches!(client.welcome, Reply::Welcome { .. }), "{:?}", client.welcome);
        client
    }

    /// Sends any message.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn send_message(&mut self, message: Message) {
        within("a message is sent", self.socket.send(message)).await.expect("the connection lives");
    }

    /// Sends a binary frame.
    pub async fn send_frame(&mut self, kind: Kind, channel: u32, offset: u64, payload: &[u8]) {
        let header = Header { kind, channel, offset }.encode();
        self.send_message(Message::binary([&header[..], payload].concat())).await;
    }

    /// Sends input. Its offset means nothing to the runtime yet.
    pub async fn send_input(&mut self, pid: u32, bytes: &[u8]) {
        self.send_frame(Kind::Input, pid, 0, bytes).await;
    }

    /// Sends a request that is not answered.
    pub async fn tell(&mut self, request: Request) {
        let message = v2::Message { id: None, request };
        self.send_message(Message::text(serde_json::to_string(&message).expect("it is JSON"))).await;
    }

    /// Sends a request, and returns its number.
    pub async fn begin(&mut self, request: Request) -> u32 {
        let number = self.next_id;
        self.next_id += 1;
        let message = v2::Message { id: Some(RequestId::Number(number)), request };
        self.send_message(Message::text(serde_json::to_string(&message).expect("it is JSON"))).await;
        number
    }

    /// Sends a request and returns what answers it.
    pub async fn request(&mut self, request: Request) -> Reply {
        let number = self.begin(request).await;
        self.answer(number).await
    }

    /// What answers a request.
    pub async fn answer(&mut self, number: u32) -> Reply {
        let id = RequestId::Number(number);
        self.take_reply(&format!("an answer to {number}"), |reply| id_of(reply).as_ref() == Some(&id)).await
    }

    /// The code and sentence with which a request is refused.
    ///
    /// # Panics
    /// When it is not.
    pub async fn refusal(&mut self, request: Request) -> (ErrorCode, String) {
        match self.request(request).await {
            Reply::Error { code, error, .. } => (code, error),
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Sends a request that is answered with `done`.
    ///
    /// # Panics
    /// When it is not.
    pub async fn done(&mut self, request: Request) {
        let reply = self.request(request).await;
        assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    }

    /// What comes next, in order of arrival.
    pub async fn next(&mut self) -> Incoming {
        match self.passed_over.pop_front() {
            Some(incoming) => incoming,
            None => self.receive().await,
        }
    }

    async fn next_reply(&mut self) -> Reply {
        match self.next().await {
            Incoming::Reply(reply) => reply,
            Incoming::Frame(header, _) => panic!("a frame came in place of a reply: {header:?}"),
        }
    }

    /// The first that fits; what came before it stays for others.
    pub async fn take(&mut self, what: &str, fits: impl Fn(&Incoming) -> bool) -> Incoming {
        if let Some(index) = self.passed_over.iter().position(&fits) {
            return self.passed_over.remove(index).expect("it was found there");
        }
        within(what, async {
            loop {
                let incoming = self.receive().await;
                if fits(&incoming) {
                    return incoming;
                }
                self.passed_over.push_back(incoming);
            }
        })
        .await
    }

    /// The first text message that fits.
    pub async fn take_reply(&mut self, what: &str, fits: impl Fn(&Reply) -> bool) -> Reply {
        match self.take(what, |incoming| matches!(incoming, Incoming::Reply(reply) if fits(reply))).await {
            Incoming::Reply(reply) => reply,
            Incoming::Frame(..) => unreachable!("only replies fit"),
        }
    }

    async fn receive(&mut self) -> Incoming {
        loop {
            match within("a message", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    return Incoming::Reply(serde_json::from_str(&text).expect("the runtime sends replies"));
                }
                Some(Ok(Message::Binary(frame))) => {
                    let (header, payload) = Header::decode(frame).expect("the runtime sends frames");
                    return Incoming::Frame(header, payload);
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

    /// The operating system's number of a process.
    ///
    /// # Panics
    /// When there is no such process for this client.
    pub async fn os_pid(&mut self, pid: u32) -> i32 {
        match self.request(Request::List).await {
            Reply::Processes { processes, .. } => {
                processes.iter().find(|process| process.pid == pid).expect("it is listed").os_pid
            }
            other => panic!("not listed: {other:?}"),
        }
    }

    /// The pages the runtime knows.
    ///
    /// # Panics
    /// When this is not told.
    pub async fn origins(&mut self) -> Vec<v2::KnownOrigin> {
        match self.request(Request::Origins).await {
            Reply::Origins { origins, .. } => origins,
            other => panic!("not told: {other:?}"),
        }
    }

    /// What the runtime knows of one page.
    pub async fn origin(&mut self, origin: &str) -> Option<v2::KnownOrigin> {
        self.origins().await.into_iter().find(|known| known.origin == origin)
    }

    /// Waits until the runtime knows of a page what is wanted.
    pub async fn until_origin(&mut self, what: &str, origin: &str, fits: impl Fn(&v2::KnownOrigin) -> bool) {
        let unknown = v2::KnownOrigin {
            origin: origin.into(),
            state: v2::OriginState::Unknown,
            access: None,
            since: None,
            until: None,
            connections: 0,
        };
        within(what, async {
            // One that is not named is one that nothing is known of.
            while !fits(&self.origin(origin).await.unwrap_or_else(|| unknown.clone())) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// Allows a page everything, from now on.
    pub async fn allow(&mut self, origin: &str) {
        self.done(Request::AllowOrigin { origin: origin.into(), access: None, once: false }).await;
    }

    /// Spawns a program.
    ///
    /// # Panics
    /// When it is not started.
    pub async fn spawn(&mut self, spawn: Spawn) -> u32 {
        match self.request(Request::Spawn(spawn)).await {
            Reply::Spawned { pid, .. } => pid,
            other => panic!("not started: {other:?}"),
        }
    }

    /// Attaches, and returns `from`, `to` and `gap` of the answer.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn attach(&mut self, pid: u32, from: Option<u64>, credit: u64) -> (u64, u64, u64) {
        match self.request(Request::Attach { pid, from, credit }).await {
            Reply::Attached { from, to, gap, .. } => (from, to, gap),
            other => panic!("not attached: {other:?}"),
        }
    }

    /// Adds what comes of a process's output until `view` holds so many bytes, without granting more credit.
    pub async fn read_output(&mut self, pid: u32, view: &mut View, bytes: usize) {
        while view.bytes.len() < bytes {
            self.read_frame(pid, view).await;
        }
    }

    /// Adds the next frame of a process's output.
    ///
    /// # Panics
    /// When something else of it comes.
    pub async fn read_frame(&mut self, pid: u32, view: &mut View) {
        let (header, payload) = match self.output_or_end(pid).await {
            Incoming::Frame(header, payload) => (header, payload),
            Incoming::Reply(reply) => panic!("output was expected: {reply:?}"),
        };
        view.take(header, &payload);
    }

    async fn output_or_end(&mut self, pid: u32) -> Incoming {
        self.take(&format!("output of process {pid}"), |incoming| match incoming {
            Incoming::Frame(header, _) => {
                header.channel == pid && matches!(header.kind, Kind::Stdout | Kind::Stderr)
            }
            Incoming::Reply(Reply::Exit { pid: of, .. } | Reply::Gap { pid: of, .. }) => *of == pid,
            Incoming::Reply(_) => false,
        })
        .await
    }

    /// Adds all that comes of a process's output, granting credit for what was read, and returns how it ended.
    ///
    /// # Panics
    /// When something is missing, or the final offset is wrong.
    pub async fn read_to_end(&mut self, pid: u32, view: &mut View) -> v2::Exit {
        let mut ungranted = 0;
        loop {
            match self.output_or_end(pid).await {
                Incoming::Frame(header, payload) => {
                    view.take(header, &payload);
                    ungranted += payload.len() as u64;
                    if ungranted >= 128 << 10 {
                        self.tell(Request::Credit { pid, bytes: ungranted }).await;
                        ungranted = 0;
                    }
                }
                Incoming::Reply(Reply::Exit { to, exit, .. }) => {
                    assert_eq!(to, view.position(), "the end says how much there was");
                    return exit;
                }
                Incoming::Reply(reply) => panic!("output was expected: {reply:?}"),
            }
        }
    }

    /// Spawns a program that is viewed from its first byte, and returns all it printed and how it ended.
    pub async fn run(&mut self, spawn: Spawn) -> (View, v2::Exit) {
        let pid = self.spawn(spawn).await;
        let mut view = View::default();
        let exit = self.read_to_end(pid, &mut view).await;
        (view, exit)
    }

    /// Output of a process up to and including this text.
    pub async fn output_until(&mut self, pid: u32, view: &mut View, wanted: &str) {
        while !String::from_utf8_lossy(&view.bytes).contains(wanted) {
            self.read_frame(pid, view).await;
        }
    }

    /// Asks for something small and is answered: the connection works.
    ///
    /// # Panics
    /// When it does not.
    pub async fn still_works(&mut self) {
        let reply = self.request(Request::Ping).await;
        assert!(matches!(reply, Reply::Pong { .. }), "{reply:?}");
    }
}
