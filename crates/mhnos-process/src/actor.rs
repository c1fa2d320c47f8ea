//! The task that owns a process: it alone talks to the guard, and decides when the process is over.
//!
//! Over means, in this order: the guard has proven that nothing of the tree lives, the output was read to its end (or, where
//! something outside the tree holds it open, until it was quiet for [`QUIET`]), the state is [`State::Ended`], the table counts it as
//! ended, the log is closed. So whoever reads the log's end can ask how the process ended and start another in its place,
//! and nothing ever follows the end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::libc;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::guard::link::{Reports, Steering};
use crate::guard::message::{Ending, Member, Order, Report};
use crate::log::Stream;
use crate::process::{EndReason, Exit, Measured, Process, State};
use crate::pump::{Channel, read_rest};

/// Output that nobody of the tree can write any more, but somebody else could: read on while it comes, wait no longer when
/// it was quiet for so long.
const QUIET: Duration = Duration::from_millis(250);

/// And wait no longer after this, quiet or not.
const DRAIN: Duration = Duration::from_secs(2);

/// What the handle asks of the task.
pub(crate) enum Command {
    Signal { signal: i32, answer: oneshot::Sender<Vec<Member>> },
    End { signal: i32, grace: Duration, reason: EndReason, answer: Option<oneshot::Sender<Arc<Exit>>> },
}

/// What the task has besides the shared [`Process`].
pub(crate) struct Owned {
    pub(crate) steering: Steering,
    pub(crate) reports: Reports,
    pub(crate) commands: mpsc::Receiver<Command>,
    /// The tasks that read the output.
    pub(crate) pumps: JoinSet<()>,
    /// What they read from.
    pub(crate) outputs: Vec<(Arc<AsyncFd<Channel>>, Stream)>,
    pub(crate) time_limit: Option<Duration>,
    /// Grace of a time limit.
    pub(crate) grace: Duration,
}

/// Runs until the process is over. `ended` is called when it is, before anybody is told.
pub(crate) async fn run<Tag>(process: &Process<Tag>, owned: Owned, ended: impl FnOnce(&Exit)) {
    let Owned { mut steering, reports, mut commands, mut pumps, outputs, time_limit, grace } = owned;
    let began = Instant::now();
    let mut guard = follow(reports);
    let mut reason = None;
    let mut status = None;
    let mut signalled: VecDeque<oneshot::Sender<Vec<Member>>> = VecDeque::new();
    let mut waiting: Vec<oneshot::Sender<Arc<Exit>>> = Vec::new();
    let deadline = time_limit.and_then(|limit| tokio::time::Instant::now().checked_add(limit));
    let mut in_time = true;

    let ending = loop {
        tokio::select! {
            Some(command) = commands.recv() => match command {
                Command::Signal { signal, answer } => {
                    // A guard that is gone closes its reports, which ends this loop.
                    let _ = steering.order(Order::Signal { signal }).await;
                    signalled.push_back(answer);
                }
                Command::End { signal, grace, reason: why, answer } => {
                    reason.get_or_insert(why);
                    waiting.extend(answer);
                    let _ = steering.order(Order::End { signal, grace_milliseconds: grace.as_millis() as u32 }).await;
                }
            },
            () = sleep_until(deadline), if in_time => {
                in_time = false;
                reason.get_or_insert(EndReason::TimeLimit);
                let order = Order::End { signal: libc::SIGTERM, grace_milliseconds: grace.as_millis() as u32 };
                let _ = steering.order(order).await;
            }
            report = guard.recv() => match report {
                Some(Report::Exited { status: ended }) => status = Some((ended, began.elapsed())),
                Some(Report::Signalled(members)) => {
                    if let Some(answer) = signalled.pop_front() {
                        let _ = answer.send(members);
                    }
                }
                Some(Report::Gone(ending)) => break ending,
                Some(Report::Started { .. } | Report::Failed { .. }) => {}
                None => {
                    reason = Some(EndReason::GuardLost);
                    break Ending::default();
                }
            },
        }
    };

    let drained = drain(process, &mut pumps, &outputs).await;
    let (status, runtime) = status.unwrap_or((libc::SIGKILL, began.elapsed()));
    let (code, signal) = decode(status);
    let exit = Arc::new(Exit { code, signal, reason, runtime, drained, ending });
    {
        let mut facts = process.facts();
        facts.state = State::Ended(Arc::clone(&exit));
        facts.measured = Measured::default();
    }
    if let Some(terminal) = &process.terminal {
        terminal.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    }
    ended(&exit);
    process.log.close();
    // Further commands are refused from here on; those that came in the meantime are answered by their channel's end.
    drop(commands);
    for answer in waiting {
        let _ = answer.send(Arc::clone(&exit));
    }
}

/// Reads the guard's reports in a task, because reading one cannot be interrupted half-way.
fn follow(mut reports: Reports) -> mpsc::Receiver<Report> {
    let (sender, receiver) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok(Some(report)) = reports.next().await {
            if sender.send(report).await.is_err() {
                return;
            }
        }
    });
    receiver
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Reads the output to its end. False when somebody outside the tree holds it open.
async fn drain<Tag>(
    process: &Process<Tag>,
    pumps: &mut JoinSet<()>,
    outputs: &[(Arc<AsyncFd<Channel>>, Stream)],
) -> bool {
    process.log.stop_pacing();
    let give_up = tokio::time::Instant::now() + DRAIN;
    while !pumps.is_empty() && tokio::time::Instant::now() < give_up {
        let head = process.log.head();
        match tokio::time::timeout(QUIET, pumps.join_next()).await {
            Ok(_) => {}
            Err(_) if process.log.head() == head => break,
            Err(_) => {}
        }
    }
    if pumps.is_empty() {
        return true;
    }
    // Quiet it may also be because this process, on a busy machine, did not get to read. So what is there now is read here.
    pumps.shutdown().await;
    let mut drained = true;
    for (channel, stream) in outputs {
        drained &= read_rest(channel.get_ref().file(), *stream, &process.log);
    }
    drained
}

/// Exit code and signal of a wait status.
fn decode(status: i32) -> (Option<i32>, Option<i32>) {
    if libc::WIFSIGNALED(status) {
        (None, Some(libc::WTERMSIG(status)))
    } else {
        (Some(libc::WEXITSTATUS(status)), None)
    }
}
