//! No process and no file change without a grant, ever.
//!
//! Connections of every kind come and go on a real runtime, in both protocols, while a person decides about pages in any order. Every connection keeps
//! trying to start a program that leaves a file, and to write a file. A small model says which of these files may be there, and which must.
//!
//! The seed of each run is printed; `MHNOS_TEST_SEED=<seed>` plays it again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mhnos_protocol::v2::{Access, Reply, Request};
use mhnos_tests::http::{RawSocket, exchange, handshake};
use mhnos_tests::v1::Client;
use mhnos_tests::{Random, Runtime, Setup, eventually, v2};
use nix::sys::signal::Signal;

mod parts;

use parts::{Connection, Phase, Socket, Standing, Try, rank};

const STEPS: usize = 300;

/// The last is allowed by the settings.
const PAGES: [&str; 4] =
    ["http://localhost:8000", "http://127.0.0.1:8000", "https://mhnos.example", "http://settled.example"];
const SETTLED: usize = 3;

/// Connections at once; fewer of a page than may wait.
const CONNECTIONS: usize = 7;

/// Tries of one connection whose answers were not waited for; together fewer messages than are kept of one that waits.
const TRIES: usize = 12;

/// Messages are kept for 25 s. Where a machine was so slow that one was refused for its age, nothing can be said about it.
const NEARLY_EXPIRED: Duration = Duration::from_secs(20);

struct World {
    random: Random,
    state: PathBuf,
    runtime: Runtime,
    control: v2::Client,
    standings: [(Standing, bool); PAGES.len()],
    connections: Vec<Connection>,
    tries: Vec<Try>,
    count: usize,
    happened: BTreeMap<&'static str, usize>,
}

impl World {
    async fn new(random: Random, state: PathBuf) -> Self {
        let runtime = Setup::default().state(&state).arg("--allow-origin").arg(PAGES[SETTLED]).start();
        let control = v2::Client::connect_to_control_socket(&runtime).await;
        let mut standings = [(Standing::Unknown, false); PAGES.len()];
        standings[SETTLED].0 = Standing::Allowed(Access::Full);
        let (connections, tries, happened) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { random, state, runtime, control, standings, connections, tries, count: 0, happened }
    }

    fn access(&self, page: Option<usize>) -> Option<Access> {
        match page.map(|page| self.standings[page].0) {
            None => Some(Access::Full),
            Some(Standing::Allowed(access)) => Some(access),
            Some(_) => None,
        }
    }

    async fn step(&mut self) {
        let name = match self.random.below(100) {
            0..12 => self.connect_page().await,
            12..17 => self.connect_local().await,
            17..24 => self.knock_in_vain().await,
            24..60 => self.attempt().await,
            60..82 => self.decide().await,
            82..94 => self.settle_one().await,
            94..98 => self.leave(),
            _ => self.restart().await,
        };
        *self.happened.entry(name).or_default() += 1;
    }

    async fn connect_page(&mut self) -> &'static str {
        let page = self.random.below(PAGES.len());
        if self.connections.len() >= CONNECTIONS {
            return "no room";
        }
        let (port, origin) = (self.runtime.port(), PAGES[page]);
        let host = format!("{}:{port}", self.random.of(&["localhost", "127.0.0.1", "[::1]", "LOCALHOST"]));
        if self.standings[page].0 == Standing::Denied {
            let headers = [format!("Host: {host}"), format!("Origin: {origin}")];
            let socket = RawSocket::open(port, &headers.each_ref().map(String::as_str)).await;
            let (messages, close) = socket.all().await;
            assert_eq!((messages.len(), close.map(|(code, _)| code)), (0, Some(1008)));
            return "denied page knocks";
        }
        let socket = if self.random.below(2) == 0 {
            Socket::V1(Client::try_connect(port, &[("host", &host), ("origin", origin)]).await.unwrap())
        } else {
            let offer = ("sec-websocket-protocol", "mhnos.v2");
            let headers = [("host", host.as_str()), ("origin", origin), offer];
            Socket::V2(v2::Client::try_connect(&self.runtime, &headers).await.unwrap())
        };
        let is_admitted = self.access(Some(page)).is_some();
        self.connections.push(Connection { socket, page: Some(page), is_admitted, open: Vec::new() });
        if is_admitted { "allowed page connects" } else { "page waits" }
    }

    async fn connect_local(&mut self) -> &'static str {
        if self.connections.len() >= CONNECTIONS {
            return "no room";
        }
        let (socket, name) = match self.random.below(4) {
            0 => (Socket::V1(Client::connect_with_token(&self.runtime).await), "token, 1.x"),
            1 => (Socket::V2(v2::Client::connect(&self.runtime).await), "token, 2.0"),
            2 => (Socket::V2(v2::Client::connect_to_control_socket(&self.runtime).await), "control socket"),
            _ => {
                let (own, ticket) =
                    (format!("http://localhost:{}", self.runtime.port()), self.ticket().await);
                let client = v2::Client::connect_with_ticket(&self.runtime, &own, &ticket).await;
                (Socket::V2(client.ok().unwrap()), "ticket")
            }
        };
        self.connections.push(Connection { socket, page: None, is_admitted: true, open: Vec::new() });
        name
    }

    async fn ticket(&mut self) -> String {
        match self.control.request(Request::Ticket { origin: None, resume: false }).await {
            Reply::Ticket { ticket, .. } => ticket,
            other => panic!("no ticket: {other:?}"),
        }
    }

    /// Headers that must not let anybody in, whatever was decided.
    async fn knock_in_vain(&mut self) -> &'static str {
        let (port, token) = (self.runtime.port(), self.runtime.token());
        let page = *self.random.of(&PAGES);
        let ours = format!("localhost:{port}");
        let authorization = format!("Authorization: Bearer {token}");
        let ticket = self.ticket().await;
        let origin = format!("Origin: {page}");
        let bad_host = self
            .random
            .of(&[
                format!("evil.example:{port}"),
                "localhost".to_owned(),
                format!("0.0.0.0:{port}"),
                format!("localhost:{}", port ^ 1),
            ])
            .clone();
        let offer = format!("Sec-WebSocket-Protocol: mhnos.v2, mhnos.ticket.{ticket}");
        let own = format!("Origin: http://localhost:{port}");
        let (host, headers, name) = match self.random.below(8) {
            0 => (bad_host, vec![origin.as_str()], "bad host, page"),
            1 => (bad_host, vec![authorization.as_str()], "bad host, token"),
            2 => (bad_host, vec![own.as_str(), &offer], "bad host, ticket"),
            3 => (ours, vec![], "nothing at all"),
            4 => (ours, vec!["Authorization: Bearer 00"], "wrong token"),
            5 => (ours, vec!["Origin: null", &authorization], "null with the token"),
            6 => (ours, vec![origin.as_str(), &offer], "ticket of another page"),
            _ => (ours, vec![own.as_str(), &authorization], "our own page without a ticket"),
        };
        let host = format!("Host: {host}");
        let headers: Vec<&str> = std::iter::once(host.as_str()).chain(headers).collect();
        let answer = exchange(port, handshake(&headers)).await;
        assert!(
            [401, 403].contains(&answer.status),
            "{name}: {headers:?} was answered with {}",
            answer.status
        );
        name
    }

    async fn attempt(&mut self) -> &'static str {
        if self.connections.is_empty() {
            return "no room";
        }
        let chosen = self.random.below(self.connections.len());
        if self.connections[chosen].open.len() >= TRIES {
            return self.settle(chosen).await;
        }
        self.count += 1;
        let page = self.connections[chosen].page;
        let access = self.access(page);
        let path = |kind: &str| self.runtime.workspace().join(format!("{kind}-{}", self.count));
        let mut attempt = Try {
            page,
            phase: if access.is_some() { Phase::Live } else { Phase::Waiting },
            begun: Instant::now(),
            least: None,
            most: None,
            program: path("program"),
            file: path("file"),
        };
        attempt.is_allowed(access, true);
        let connection = &mut self.connections[chosen];
        let ids = connection.begin(&attempt).await;
        connection.open.push((self.tries.len(), ids));
        self.tries.push(attempt);
        "try"
    }

    async fn decide(&mut self) -> &'static str {
        let page = self.random.below(PAGES.len());
        let origin = PAGES[page].to_owned();
        let access = *self.random.of(&[Access::Full, Access::Full, Access::Files]);
        let once = self.random.below(3) == 0;
        let (request, standing, name) = match self.random.below(4) {
            0 | 1 => {
                let request = Request::AllowOrigin { origin, access: Some(access), once };
                (request, Standing::Allowed(access), "allow")
            }
            2 => (Request::DenyOrigin { origin }, Standing::Denied, "deny"),
            _ => (Request::RevokeOrigin { origin }, Standing::Unknown, "revoke"),
        };
        if page == SETTLED {
            // The settings have said it all.
            if !matches!(standing, Standing::Allowed(_)) {
                self.control.refusal(request).await;
            }
            return "settled";
        }
        let before = self.standings[page].0;
        // From when it is asked for until it is answered, either can be the case.
        let (from, to) = (
            self.access(Some(page)),
            match standing {
                Standing::Allowed(access) => Some(access),
                _ => None,
            },
        );
        for attempt in self.tries.iter_mut().filter(|attempt| attempt.page == Some(page)) {
            match attempt.phase {
                Phase::Live => {
                    attempt.is_allowed(from, false);
                    attempt.is_allowed(to, false);
                }
                Phase::Waiting if to.is_some() => {
                    attempt.phase = Phase::Live;
                    attempt.is_allowed(to, true);
                }
                Phase::Orphaned if rank(to) > rank(attempt.most) => attempt.most = to,
                _ => {}
            }
        }
        self.control.done(request).await;
        self.standings[page] = (standing, once && standing == Standing::Allowed(access));
        if to.is_none() && (before != Standing::Unknown || standing == Standing::Denied) {
            self.close(page, standing).await;
        }
        name
    }

    /// The connections of a page that may not any more: each is closed by the runtime.
    async fn close(&mut self, page: usize, standing: Standing) {
        let (theirs, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.connections)
            .into_iter()
            .partition(|connection| connection.page == Some(page));
        self.connections = others;
        for connection in theirs {
            // One that had no time to notice that it was allowed waits on, if it is not denied.
            let is_closed = connection.is_admitted || standing == Standing::Denied;
            for (number, _) in &connection.open {
                let attempt = &mut self.tries[*number];
                attempt.phase = if is_closed {
                    Phase::Over { spawned: attempt.program.exists(), written: attempt.file.exists() }
                } else {
                    Phase::Orphaned
                };
            }
            if is_closed {
                assert_eq!(connection.close_code().await, Some(1008));
            }
        }
    }

    async fn settle_one(&mut self) -> &'static str {
        if self.connections.is_empty() {
            return "no room";
        }
        let chosen = self.random.below(self.connections.len());
        self.settle(chosen).await
    }

    /// Waits until everything a connection asked for is answered, if it is to be.
    async fn settle(&mut self, chosen: usize) -> &'static str {
        if self.access(self.connections[chosen].page).is_none() {
            return "nothing to settle";
        }
        let connection = &mut self.connections[chosen];
        connection.still_works().await;
        connection.is_admitted = true;
        for (number, ids) in std::mem::take(&mut connection.open) {
            let outcomes = connection.finish(&ids).await;
            let attempt = &mut self.tries[number];
            let is_too_old = outcomes
                .iter()
                .flat_map(|outcome| outcome.as_ref().err())
                .any(|error| error.contains("not allowed yet"));
            if is_too_old {
                assert!(
                    attempt.begun.elapsed() > NEARLY_EXPIRED,
                    "refused in spite of a grant: {attempt:?}: {outcomes:?}"
                );
                attempt.least = None;
            }
            attempt.phase = Phase::Answered { spawned: outcomes[0].is_ok(), written: outcomes[1].is_ok() };
        }
        "settle"
    }

    fn leave(&mut self) -> &'static str {
        if self.connections.is_empty() {
            return "no room";
        }
        let chosen = self.random.below(self.connections.len());
        let connection = self.connections.swap_remove(chosen);
        for (number, _) in connection.open {
            self.tries[number].phase = Phase::Orphaned;
        }
        "leave"
    }

    /// Compares all there is with the model, once nothing is under way any more.
    async fn check(&mut self) {
        for chosen in 0..self.connections.len() {
            self.settle(chosen).await;
        }
        mhnos_tests::within("all programs end", async {
            loop {
                match self.control.request(Request::List).await {
                    Reply::Processes { processes, .. }
                        if processes.iter().all(|process| process.exit.is_some()) =>
                    {
                        break;
                    }
                    _ => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        })
        .await;
        for attempt in &self.tries {
            if let Phase::Answered { spawned: true, .. } = attempt.phase
                && rank(attempt.least) == 2
            {
                eventually("a program that was started leaves its file", || attempt.program.exists()).await;
            }
            attempt.check();
        }
        let expected = |name: &str| name.starts_with("program-") || name.starts_with("file-");
        for name in self.runtime.names() {
            assert!(expected(&name), "{name} is nobody's");
        }
    }

    async fn restart(&mut self) -> &'static str {
        self.check().await;
        self.connections.clear();
        self.tries.clear();
        self.runtime.stop(*self.random.clone().of(&[Signal::SIGTERM, Signal::SIGKILL])).await;
        let mut next = Self::new(self.random.clone(), self.state.clone()).await;
        for (next, (standing, once)) in next.standings.iter_mut().zip(self.standings) {
            if !once {
                *next = (standing, false);
            }
        }
        std::mem::swap(&mut next.happened, &mut self.happened);
        next.count = self.count;
        *self = next;
        "restart"
    }
}

#[tokio::test]
async fn no_process_and_no_file_change_without_a_grant_ever() {
    let state = tempfile::tempdir().unwrap();
    let random = Random::from_environment("MHNOS_TEST_SEED");
    let mut world = World::new(random, state.path().join("state")).await;
    for _ in 0..STEPS {
        world.step().await;
    }
    world.check().await;
    assert!(!world.runtime.log().contains("panicked"), "{}", world.runtime.log());
    eprintln!("{:?}", world.happened);
    // A run in which little happened would show little.
    for name in ["try", "allow", "deny", "revoke", "settle", "page waits"] {
        assert!(world.happened.get(name).is_some_and(|&times| times > 2), "{name}: {:?}", world.happened);
    }
}
