//! Staying with a program: its output here, this terminal's input there, until it ends or one leaves.
//!
//! Three loops run side by side and meet in a few cells; all on one thread. [`Session::show`] writes output, grants credit
//! for it and gets a broken connection back. [`Session::feed_input`] sends what is typed. [`Session::obey`] follows
//! signals. Whichever comes to an end first decides how the session ended ([`Outcome`]).
//!
//! While held output is shown again, nothing typed is passed on and no size is sent: see [`terminal::answers`].

pub(crate) mod link;
pub(crate) mod signals;
pub(crate) mod streams;

use std::cell::{Cell, RefCell};
use std::io::IsTerminal;
use std::rc::Rc;
use std::time::Duration;

use mhnos_protocol::frame::Kind;
use mhnos_protocol::v2::{Exit, Request};
use mhnos_server::state::StateDirectory;
use nix::sys::signal::Signal;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use self::link::Link;
use self::signals::{Event, Signals};
use self::streams::Input;
use super::client::feed::Arrival;
use super::failure::Failure;
use super::format;
use super::terminal::answers::{ANSWER_TIME, Answers, QUESTION};
use super::terminal::detach_key::DetachKey;
use super::terminal::modes::Modes;
use super::terminal::{self, RawMode, say};

/// How long a terminal that takes no output is waited for when one leaves.
const LEAVING_TIME: Duration = Duration::from_millis(500);

/// What kind of session it is.
pub(crate) struct Plan {
    /// Whether the program has a terminal.
    pub(crate) terminal: bool,
    /// Whether the program is this command's own: signals are passed on to it, and the end of input too.
    pub(crate) own: bool,
    pub(crate) detach_key: DetachKey,
    /// Whether standard input goes to the program.
    pub(crate) input: bool,
    /// Output up to here is shown again and not new.
    pub(crate) replayed_to: u64,
    /// Offset of the first byte that comes.
    pub(crate) from: u64,
}

pub(crate) enum Outcome {
    Exited(Exit),
    /// The detach key was pressed.
    Left,
    /// This command was told to end, and left the program running.
    Signalled(Signal),
    /// This command was told to end, and ended the program.
    Ended(Signal),
    /// Nobody reads this command's output any more.
    Unread,
}

struct Session<'state> {
    state: &'state StateDirectory,
    plan: Plan,
    raw: Option<RawMode>,
    link: watch::Sender<Rc<Link>>,
    position: Cell<u64>,
    replay: RefCell<Replay>,
    /// What to undo when leaving, if it is a terminal that is written to.
    modes: Option<RefCell<Modes>>,
}

enum Replay {
    /// Held output is shown.
    Showing(Answers),
    /// All of it is; the terminal may still answer what it asked.
    Settling(Answers, Instant),
    Over,
}

/// Stays with the program until it ends or one leaves, and puts the terminal back.
pub(crate) async fn run(state: &StateDirectory, link: Link, plan: Plan) -> Result<Outcome, Failure> {
    let raw = plan.terminal && plan.input && std::io::stdin().is_terminal();
    let watched = plan.terminal && std::io::stdout().is_terminal();
    // Before the terminal is raw, so that no signal ends this command while it is.
    let signals = Signals::watch(raw).map_err(|error| Failure::system("watch for signals", &error))?;
    let session = Session {
        state,
        raw: if raw { Some(RawMode::enter()?) } else { None },
        link: watch::Sender::new(Rc::new(link)),
        position: Cell::new(plan.from),
        replay: RefCell::new(if raw && plan.replayed_to > plan.from {
            Replay::Showing(Answers::default())
        } else {
            Replay::Over
        }),
        modes: watched.then(RefCell::default),
        plan,
    };
    session.send_size().await;
    let outcome = tokio::select! {
        outcome = session.show() => outcome,
        outcome = session.feed_input() => Ok(outcome),
        outcome = session.obey(signals) => Ok(outcome),
    };
    if let Some(modes) = &session.modes {
        let reset = modes.borrow().reset();
        let _ = timeout(LEAVING_TIME, streams::write(Kind::Stdout, reset)).await;
    }
    let link = session.link();
    if session.plan.own && matches!(outcome, Ok(Outcome::Unread)) {
        // What a program of a pipeline is told by the system when nobody reads it any more.
        let _ = link.kill(Signal::SIGTERM, None).await;
    }
    drop(session);
    if let Ok(link) = Rc::try_unwrap(link) {
        link.close().await;
    }
    outcome
}

impl Session<'_> {
    fn link(&self) -> Rc<Link> {
        self.link.borrow().clone()
    }

    async fn show(&self) -> Result<Outcome, Failure> {
        loop {
            let link = self.link();
            for arrival in link.take().await {
                match arrival {
                    Arrival::Bytes { kind, offset, mut bytes } => {
                        let held = self.plan.replayed_to.saturating_sub(offset);
                        if held > 0 && held < bytes.len() as u64 {
                            let held = bytes.split_to(held as usize);
                            if !self.write(&link, kind, offset, held).await {
                                return Ok(Outcome::Unread);
                            }
                        }
                        let offset = offset.max(self.position.get());
                        if !self.write(&link, kind, offset, bytes).await {
                            return Ok(Outcome::Unread);
                        }
                    }
                    Arrival::Gap { from, to } => self.skip(from, to).await,
                    Arrival::Exit { to, exit } => {
                        if self.position.get() < to {
                            self.skip(self.position.get(), to).await;
                        }
                        return Ok(Outcome::Exited(exit));
                    }
                    Arrival::Refused { error, .. } => say(format::plain(&error)),
                    Arrival::Disconnected => self.resume(&link).await?,
                }
            }
        }
    }

    /// Writes a piece of output that is wholly old or wholly new; false when nobody reads it.
    async fn write(&self, link: &Link, kind: Kind, offset: u64, bytes: bytes::BytesMut) -> bool {
        let length = bytes.len();
        if let Some(modes) = &self.modes {
            modes.borrow_mut().watch(&bytes);
        }
        if let Replay::Showing(answers) = &mut *self.replay.borrow_mut() {
            answers.shown(&bytes);
        }
        if streams::write(kind, bytes).await.is_err() {
            return false;
        }
        self.position.set(offset + length as u64);
        link.wrote(length).await;
        self.end_replay().await;
        true
    }

    async fn skip(&self, from: u64, to: u64) {
        say(format!("{} of output are no longer held", format::bytes(to.saturating_sub(from))));
        self.position.set(to);
        self.end_replay().await;
    }

    async fn resume(&self, link: &Link) -> Result<(), Failure> {
        say("the connection to the runtime was lost, trying to get it back");
        let (link, attached) = link.resume(self.state, self.position.get()).await?;
        if attached.gap > 0 {
            self.skip(attached.from - attached.gap, attached.from).await;
        }
        self.link.send_replace(Rc::new(link));
        Ok(())
    }

    /// Listens to the person again, once the last byte of held output is written.
    async fn end_replay(&self) {
        if self.position.get() < self.plan.replayed_to {
            return;
        }
        let asked = {
            let mut replay = self.replay.borrow_mut();
            match std::mem::replace(&mut *replay, Replay::Over) {
                Replay::Showing(answers) if answers.any_question() && self.modes.is_some() => {
                    *replay = Replay::Settling(answers, Instant::now() + ANSWER_TIME);
                    true
                }
                Replay::Showing(_) => false,
                other => {
                    *replay = other;
                    return;
                }
            }
        };
        if asked {
            // When this fails, so does the next piece of output.
            let _ = streams::write(Kind::Stdout, QUESTION).await;
        }
        self.send_size().await;
    }

    async fn send_size(&self) {
        let showing = matches!(*self.replay.borrow(), Replay::Showing(_));
        if let (Some(size), false, true) = (terminal::size(), showing, self.raw.is_some()) {
            let request = Request::Resize { pid: self.link().pid, cols: size.cols, rows: size.rows };
            self.link().tell(request).await;
        }
    }

    async fn feed_input(&self) -> Outcome {
        if !self.plan.input {
            return std::future::pending().await;
        }
        let Input { pieces, mut detached } = Input::read(self.raw.as_ref().map(|_| self.plan.detach_key));
        let mut forwarding = std::pin::pin!(self.forward(pieces, detached.clone()));
        tokio::select! {
            biased;
            () = &mut forwarding => return Outcome::Left,
            Ok(_) = detached.wait_for(|pressed| *pressed) => {}
        }
        // What was typed before the key is still on its way.
        let _ = timeout(LEAVING_TIME, forwarding).await;
        Outcome::Left
    }

    /// Sends what is typed; comes to an end only behind the detach key.
    async fn forward(&self, mut pieces: mpsc::Receiver<Vec<u8>>, detached: watch::Receiver<bool>) {
        while let Some(piece) = pieces.recv().await {
            if let Some(piece) = self.meant_for_program(&piece) {
                self.send_input(piece).await;
            }
        }
        if *detached.borrow() {
            return;
        }
        // Whoever only looked at a shell from a script did not mean to end it.
        if self.plan.own || !self.plan.terminal {
            self.link().tell(Request::CloseInput { pid: self.link().pid }).await;
        }
        std::future::pending().await
    }

    /// What is left of a piece of input without the terminal's answers to old questions.
    fn meant_for_program<'piece>(&self, piece: &'piece [u8]) -> Option<&'piece [u8]> {
        let mut replay = self.replay.borrow_mut();
        match &mut *replay {
            Replay::Showing(answers) => {
                answers.typed(piece);
                None
            }
            Replay::Settling(answers, until) if Instant::now() < *until => {
                let rest = answers.typed(piece)?;
                *replay = Replay::Over;
                (!rest.is_empty()).then_some(rest)
            }
            Replay::Settling(..) | Replay::Over => {
                *replay = Replay::Over;
                Some(piece)
            }
        }
    }

    /// Sends input over this link or, should it break, over the next one.
    async fn send_input(&self, piece: &[u8]) {
        let mut links = self.link.subscribe();
        loop {
            let link = links.borrow_and_update().clone();
            tokio::select! {
                Ok(()) = link.send_input(piece) => return,
                Ok(()) = links.changed() => {}
                else => return,
            }
        }
    }

    async fn obey(&self, mut signals: Signals) -> Outcome {
        loop {
            match signals.next().await {
                Event::Resized => self.send_size().await,
                Event::Pause => {
                    if let Some(raw) = &self.raw {
                        raw.pause();
                    }
                    self.send_size().await;
                }
                Event::End(signal) if self.plan.own => return self.pass_on(signal, &mut signals).await,
                Event::End(signal) => return Outcome::Signalled(signal),
            }
        }
    }

    /// Ends the program as this command was told to end; a second time by force. A third time one only leaves.
    async fn pass_on(&self, signal: Signal, signals: &mut Signals) -> Outcome {
        let link = self.link();
        let killed = tokio::select! {
            killed = link.kill(signal, None) => killed,
            _ = signals.end() => tokio::select! {
                killed = link.kill(Signal::SIGKILL, Some(0)) => killed,
                _ = signals.end() => return Outcome::Signalled(signal),
            },
        };
        if killed.is_err() {
            return Outcome::Signalled(signal);
        }
        // Its exit follows its output, which a terminal that takes none would hold back for ever.
        sleep(LEAVING_TIME).await;
        Outcome::Ended(signal)
    }
}
