//! One process viewed over one connection: output in, credit and input out. When the connection breaks, a new link goes
//! on at the byte that was reached, as long as it is still the same run of the runtime.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use mhnos_protocol::frame::{Header, Kind};
use mhnos_protocol::v2::{Reply, Request, Spawn};
use mhnos_server::state::StateDirectory;
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use crate::cli::client::feed::{Arrival, Feed, WINDOW_BYTES, Window};
use crate::cli::client::{Client, unexpected};
use crate::cli::failure::Failure;

/// Input the program has not been handed yet. At the bound no more is read from standard input. The runtime itself
/// takes several times as much, so that other clients have room too.
const INPUT_WINDOW_BYTES: u64 = 1 << 20;

/// How long to try to get a broken connection back.
const RESUME_TIME: Duration = Duration::from_secs(30);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const SLOWEST_RETRY: Duration = Duration::from_secs(2);

pub(crate) struct Link {
    pub(crate) pid: u32,
    client: Client,
    feed: Arc<Feed>,
    window: RefCell<Window>,
    input_sent: Cell<u64>,
    /// What the program had been handed before this link sent anything; not known until the first acceptance.
    input_before: Cell<Option<u64>>,
}

/// Where a view begins.
pub(crate) struct Attached {
    /// Offset of the first byte that comes.
    pub(crate) from: u64,
    /// Offset behind the last byte that is held already.
    pub(crate) to: u64,
    /// Bytes before `from` that were asked for and are gone.
    pub(crate) gap: u64,
}

impl Link {
    /// Starts a program and views it from its first byte.
    pub(crate) async fn spawn(client: Client, mut spawn: Spawn) -> Result<Self, Failure> {
        spawn.credit = Some(WINDOW_BYTES);
        let feed = Arc::new(Feed::default());
        match client.spawn(Request::Spawn(spawn), feed.clone()).await? {
            Reply::Spawned { pid, .. } => {
                let link = Self::new(pid, client, feed);
                link.input_before.set(Some(0));
                Ok(link)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Views a process from an offset, or from the first byte still held.
    pub(crate) async fn attach(
        client: Client,
        pid: u32,
        from: Option<u64>,
    ) -> Result<(Self, Attached), Failure> {
        let feed = Arc::new(Feed::default());
        let request = Request::Attach { pid, from, credit: WINDOW_BYTES };
        let reply = client.attach(pid, request, feed.clone()).await;
        match reply.map_err(|failure| failure.about_process(pid))? {
            Reply::Attached { from, to, gap, .. } => {
                Ok((Self::new(pid, client, feed), Attached { from, to, gap }))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Connects again and goes on at `position`.
    pub(crate) async fn resume(
        &self,
        state: &StateDirectory,
        position: u64,
    ) -> Result<(Self, Attached), Failure> {
        let pid = self.pid;
        let last_try = Instant::now() + RESUME_TIME;
        let mut pause = FIRST_RETRY;
        loop {
            let failure = match Client::connect(state).await {
                Ok(client) if client.welcome.instance != self.client.welcome.instance => {
                    return Err(Failure::Other(format!(
                        "the runtime was started anew, and process {pid} ended with the old one: \
                         `mhnos-runtime ps` lists what runs now"
                    )));
                }
                Ok(client) => match Self::attach(client, pid, Some(position)).await {
                    Err(failure @ Failure::Disconnected) => failure,
                    result => return result,
                },
                Err(failure) => failure,
            };
            if Instant::now() + pause > last_try {
                return Err(failure);
            }
            sleep(pause).await;
            pause = (pause * 2).min(SLOWEST_RETRY);
        }
    }

    fn new(pid: u32, client: Client, feed: Arc<Feed>) -> Self {
        Self {
            pid,
            client,
            feed,
            window: RefCell::default(),
            input_sent: Cell::new(0),
            input_before: Cell::new(None),
        }
    }

    /// Waits for what comes next. Nothing is lost when the wait is given up.
    pub(crate) async fn take(&self) -> Vec<Arrival> {
        self.feed.take().await
    }

    /// Bytes of output were really written: their credit goes back to the runtime.
    pub(crate) async fn wrote(&self, bytes: usize) {
        let grant = self.window.borrow_mut().written(bytes as u64);
        if let Some(bytes) = grant {
            self.tell(Request::Credit { pid: self.pid, bytes }).await;
        }
    }

    /// Sends input, once the program has taken enough of what was sent before.
    pub(crate) async fn send_input(&self, input: &[u8]) -> Result<(), Failure> {
        let mut accepted = self.feed.accepted();
        while self.input_in_flight(*accepted.borrow_and_update()) >= INPUT_WINDOW_BYTES {
            // The feed holds the sender.
            let _ = accepted.changed().await;
        }
        let header = Header { kind: Kind::Input, channel: self.pid, offset: self.input_sent.get() };
        self.client.send_frame(header, input).await?;
        self.input_sent.set(self.input_sent.get() + input.len() as u64);
        Ok(())
    }

    /// Tells the runtime something whose answer does not matter. If the connection is gone, the view says so.
    pub(crate) async fn tell(&self, request: Request) {
        let _ = self.client.tell(request).await;
    }

    /// Ends the program and all it started; returns once they are gone.
    pub(crate) async fn kill(&self, signal: Signal, grace: Option<u64>) -> Result<(), Failure> {
        let signal = Some(signal.as_str().to_owned());
        self.client.request(Request::Kill { pid: self.pid, signal, grace }).await.map(drop)
    }

    /// What was sent less what the program has been handed. Input of other clients counts as ours, which errs by a
    /// window at most.
    fn input_in_flight(&self, accepted: u64) -> u64 {
        let sent = self.input_sent.get();
        if accepted == 0 {
            return sent;
        }
        let before = self.input_before.get().unwrap_or(accepted.saturating_sub(sent));
        self.input_before.set(Some(before));
        sent.saturating_sub(accepted.saturating_sub(before))
    }

    /// Sends what is still queued and leaves.
    pub(crate) async fn close(self) {
        self.client.close().await;
    }
}
