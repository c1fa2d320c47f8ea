//! Keeps a bridge running: starts it, believes it only when it answers, starts it anew when it ends, and gives up in time.
//!
//! One task owns the engine. It is handed orders and publishes a [`Snapshot`]; nobody else starts or stops anything. *Running* is
//! said after a round trip over the WebSocket and asked for again every second; a bridge that does not answer is not running, whatever
//! its process does. One that ends by itself is started again after a pause that doubles, and after [`ATTEMPTS`] in a row it has failed:
//! then a person decides. Orders are heard at any moment, so a start that hangs can always be stopped.

mod attempts;
mod watching;

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, SystemTime};

use mhnos_protocol::v2::Event;
use mhnos_server::listen::port_holder;
use mhnos_server::settings::{ServeArguments, Settings};
use mhnos_server::state::StateDirectory;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use self::attempts::{ATTEMPTS, Attempts};
use crate::engine::{Docker, Engine, EngineError, Existing, Kind, Native};
use crate::link::{Line, LinkError};
use crate::settings;
use crate::snapshot::{Holder, Phase, Snapshot};

/// Orders that wait. At the bound who orders waits.
const ORDERS: usize = 8;

/// Messages of the bridge for the rest of the app. Who is slower misses some, and looks at the snapshot.
const NEWS: usize = 256;

/// Between two attempts to reach a bridge that is starting.
const KNOCK: Duration = Duration::from_millis(25);

/// How long a start may take before it is said that it takes long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks for a bridge that somebody else starts.
const LOOK: Duration = Duration::from_secs(2);

/// What a person wants.
enum Order {
    Start,
    Stop,
    Restart,
    Switch(Kind),
    /// End what is ours, and say when that is done.
    Quit(oneshot::Sender<()>),
}

/// How a run of an engine came to its end.
enum Outcome {
    /// A person wants something else.
    Ordered(Order),
    /// It ended by itself, or was ended because it did not answer.
    Ended(String),
    /// It cannot be started.
    Refused(EngineError),
}

/// What the rest of the app holds of it.
#[derive(Clone)]
pub(crate) struct Supervisor {
    orders: mpsc::Sender<Order>,
    snapshot: watch::Receiver<Snapshot>,
    line: watch::Receiver<Option<Line>>,
    news: broadcast::Sender<Event>,
}

impl Supervisor {
    /// Begins to supervise; starts a bridge when `start` says so, and adopts one that runs already in any case.
    pub(crate) fn begin(state: StateDirectory, start: bool) -> Self {
        let (orders, received) = mpsc::channel(ORDERS);
        let kind = settings::app(&state).engine;
        let (publish, snapshot) = watch::channel(Snapshot::new(kind, port(&state)));
        let (set_line, line) = watch::channel(None);
        let news = broadcast::Sender::new(NEWS);
        let work = Work { state, kind, orders: received, publish, line: set_line, news: news.clone() };
        tokio::spawn(work.run(start));
        Self { orders, snapshot, line, news }
    }

    /// What is the case, and how it changes.
    pub(crate) fn snapshot(&self) -> watch::Receiver<Snapshot> {
        self.snapshot.clone()
    }

    /// What the bridge tells unasked, from now on.
    pub(crate) fn news(&self) -> broadcast::Receiver<Event> {
        self.news.subscribe()
    }

    /// To ask the bridge with.
    ///
    /// # Errors
    /// When none answers.
    pub(crate) fn line(&self) -> Result<Line, LinkError> {
        self.line.borrow().clone().ok_or(LinkError::Gone)
    }

    /// Starts it, unless it runs.
    pub(crate) async fn start(&self) {
        self.order(Order::Start).await;
    }

    /// Stops it.
    pub(crate) async fn stop(&self) {
        self.order(Order::Stop).await;
    }

    /// Stops it and starts it again.
    pub(crate) async fn restart(&self) {
        self.order(Order::Restart).await;
    }

    /// Lets another engine run it: one that runs is stopped and the other started, as it is when the first has failed.
    pub(crate) async fn switch(&self, kind: Kind) {
        self.order(Order::Switch(kind)).await;
    }

    /// Ends what is ours, for good, and returns when it is gone.
    pub(crate) async fn quit(&self) {
        let (done, ended) = oneshot::channel();
        self.order(Order::Quit(done)).await;
        let _ = ended.await;
    }

    async fn order(&self, order: Order) {
        // It is gone only when the app is.
        let _ = self.orders.send(order).await;
    }
}

/// The task's own.
struct Work {
    state: StateDirectory,
    kind: Kind,
    orders: mpsc::Receiver<Order>,
    publish: watch::Sender<Snapshot>,
    line: watch::Sender<Option<Line>>,
    news: broadcast::Sender<Event>,
}

/// What comes after a time of running or resting.
enum Next {
    Run,
    Rest,
    Quit(oneshot::Sender<()>),
}

impl Work {
    async fn run(mut self, start: bool) {
        let mut next = if start { Next::Run } else { Next::Rest };
        loop {
            next = match next {
                Next::Run => self.keep_running().await,
                Next::Rest => self.rest().await,
                Next::Quit(done) => {
                    // Who asked may be gone itself.
                    let _ = done.send(());
                    return;
                }
            };
        }
    }

    /// Runs an engine, and others after it, until it is not to run any more.
    async fn keep_running(&mut self) -> Next {
        let mut attempts = Attempts::default();
        let mut engine = self.choose();
        loop {
            match self.run_once(&mut *engine, &mut attempts).await {
                Outcome::Ordered(Order::Start) => {}
                Outcome::Ordered(Order::Stop) => return self.stop(&mut *engine).await,
                Outcome::Ordered(Order::Restart) => {
                    if let Some(next) = self.make_room(&mut *engine).await {
                        return next;
                    }
                    attempts = Attempts::default();
                    engine = self.choose();
                }
                Outcome::Ordered(Order::Switch(kind)) => {
                    if let Some(next) = self.make_room(&mut *engine).await {
                        return next;
                    }
                    self.kind = kind;
                    attempts = Attempts::default();
                    engine = self.choose();
                }
                Outcome::Ordered(Order::Quit(done)) => {
                    if engine.is_ours() {
                        self.stop(&mut *engine).await;
                    }
                    return Next::Quit(done);
                }
                Outcome::Refused(error) => {
                    // A part of it may run, and nobody would know.
                    if engine.is_ours()
                        && let Err(error) = engine.stop().await
                    {
                        tracing::warn!(%error, "what did not start could not be stopped");
                    }
                    return self.fail(&*engine, error.0);
                }
                Outcome::Ended(why) if engine.kind() == Kind::Existing => {
                    self.change(Phase::Stopped, Some(why));
                    return Next::Rest;
                }
                Outcome::Ended(why) => match self.after_end(&*engine, &mut attempts, why).await {
                    Some(next) => return next,
                    None => engine = self.successor(engine),
                },
            }
        }
    }

    /// What runs the bridge now: whatever runs already, where that is not a container's business.
    fn choose(&self) -> Box<dyn Engine> {
        match self.kind {
            Kind::Docker => Box::new(Docker::new(self.state.clone())),
            Kind::Native | Kind::Existing => match Existing::find(&self.state) {
                Some(existing) => Box::new(existing),
                None => Box::new(Native::new(self.state.clone())),
            },
        }
    }

    /// The engine of the next attempt. Somebody else may have started one meanwhile, which is why ours ended.
    fn successor(&self, engine: Box<dyn Engine>) -> Box<dyn Engine> {
        if engine.kind() == Kind::Docker { engine } else { self.choose() }
    }

    async fn run_once(&mut self, engine: &mut dyn Engine, attempts: &mut Attempts) -> Outcome {
        self.publish.send_modify(|snapshot| {
            snapshot.forget();
            snapshot.is_ours = engine.is_ours();
            let reason = snapshot.engine.reason.take().filter(|_| attempts.count() > 0);
            snapshot.engine.kind = engine.kind();
            snapshot.engine.phase = Phase::Starting;
            snapshot.engine.reason = reason;
            snapshot.engine.lines.clear();
            snapshot.engine.port_holder = None;
            snapshot.engine.restarts = attempts.total();
            snapshot.engine.port = port(&self.state);
            snapshot.engine.url = None;
        });
        tokio::select! {
            started = engine.start() => if let Err(error) = started {
                return Outcome::Refused(error);
            },
            order = next_order(&mut self.orders) => return Outcome::Ordered(order),
        }
        let outcome = self.watch(engine, attempts).await;
        self.line.send_replace(None);
        outcome
    }

    /// What to do after it ended by itself; `None`: start it again.
    async fn after_end(&mut self, engine: &dyn Engine, attempts: &mut Attempts, why: String) -> Option<Next> {
        let was_green = attempts.was_green();
        if !was_green && let Some((port, holder)) = self.taken_port() {
            let (whom, out) = match &holder {
                Some(holder) => (format!("{} (pid {})", holder.name, holder.pid), "stop that program"),
                None => ("a program of another user".to_owned(), "stop that program"),
            };
            let why = format!("port {port} is taken by {whom}: {out}, or use another port");
            let next = self.fail(engine, why);
            self.publish.send_modify(|snapshot| snapshot.engine.port_holder = holder);
            return Some(next);
        }
        let Some(pause) = attempts.again(std::time::Instant::now()) else {
            let said = engine.lines().into_iter().rev().find(|line| line.starts_with("error: "));
            let said =
                said.map(|line| format!(": {}", line.trim_start_matches("error: "))).unwrap_or_default();
            return Some(
                self.fail(engine, format!("the runtime does not stay up, {ATTEMPTS} times in a row{said}")),
            );
        };
        tracing::warn!(%why, ?pause, "the runtime ended");
        let seconds = pause.as_secs_f64();
        self.change(Phase::Starting, Some(format!("{why}; it is started again in {seconds:.1} s")));
        tokio::select! {
            () = tokio::time::sleep(pause) => None,
            order = next_order(&mut self.orders) => match order {
                Order::Start | Order::Restart => None,
                Order::Stop => {
                    self.change(Phase::Stopped, None);
                    Some(Next::Rest)
                }
                Order::Switch(kind) => {
                    self.kind = kind;
                    Some(Next::Run)
                }
                Order::Quit(done) => Some(Next::Quit(done)),
            },
        }
    }

    /// The port it is to have, when somebody else has it.
    fn taken_port(&self) -> Option<(u16, Option<Holder>)> {
        let port = port(&self.state);
        let error = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).err()?;
        let is_taken = error.kind() == std::io::ErrorKind::AddrInUse;
        let holder = port_holder(port).map(|holder| Holder { name: holder.name, pid: holder.os_pid });
        is_taken.then_some((port, holder))
    }

    /// Does nothing until a person says otherwise, or somebody else starts a bridge.
    async fn rest(&mut self) -> Next {
        loop {
            let order = tokio::select! {
                order = next_order(&mut self.orders) => order,
                () = tokio::time::sleep(LOOK) => {
                    if self.kind != Kind::Docker && Existing::find(&self.state).is_some() {
                        return Next::Run;
                    }
                    continue;
                }
            };
            match order {
                Order::Start | Order::Restart => return Next::Run,
                Order::Stop => self.change(Phase::Stopped, None),
                Order::Switch(kind) => {
                    self.kind = kind;
                    // Who chooses another because the first cannot run wants it to run; who has stopped it does not.
                    if self.publish.borrow().engine.phase == Phase::Failed {
                        return Next::Run;
                    }
                    self.publish.send_modify(|snapshot| snapshot.engine.kind = kind);
                    self.change(Phase::Stopped, None);
                }
                Order::Quit(done) => return Next::Quit(done),
            }
        }
    }

    /// Stops an engine for another to take its place; a next step when it cannot be stopped.
    async fn make_room(&mut self, engine: &mut dyn Engine) -> Option<Next> {
        self.change(Phase::Stopping, None);
        engine.stop().await.err().map(|error| self.fail(engine, error.0))
    }

    async fn stop(&mut self, engine: &mut dyn Engine) -> Next {
        self.change(Phase::Stopping, None);
        match engine.stop().await {
            Ok(()) => {
                self.publish.send_modify(|snapshot| snapshot.engine.kind = self.kind);
                self.change(Phase::Stopped, None);
                Next::Rest
            }
            Err(error) => self.fail(engine, error.0),
        }
    }

    fn fail(&self, engine: &dyn Engine, why: String) -> Next {
        tracing::error!(%why, "the runtime cannot be had");
        self.change(Phase::Failed, Some(why));
        self.publish.send_modify(|snapshot| snapshot.engine.lines = engine.lines());
        Next::Rest
    }

    /// Publishes a phase in which nothing answers.
    fn change(&self, phase: Phase, reason: Option<String>) {
        self.line.send_replace(None);
        self.publish.send_modify(|snapshot| {
            snapshot.forget();
            snapshot.engine.phase = phase;
            snapshot.engine.reason = reason;
            snapshot.engine.lines.clear();
            snapshot.engine.port_holder = None;
            snapshot.engine.url = None;
        });
    }
}

/// The next order; when nobody is left to give one, the app is ending.
async fn next_order(orders: &mut mpsc::Receiver<Order>) -> Order {
    match orders.recv().await {
        Some(order) => order,
        None => std::future::pending().await,
    }
}

/// The port the bridge is to have.
pub(crate) fn port(state: &StateDirectory) -> u16 {
    Settings::load(&ServeArguments::default(), state).map_or(DEFAULT_PORT, |settings| settings.port)
}

/// The port MHNOS looks for a bridge at.
const DEFAULT_PORT: u16 = 18790;

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
