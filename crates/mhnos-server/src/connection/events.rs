//! Tells a 2.0 client what happens, in place of its asking again and again.

use std::sync::Arc;

use mhnos_process::ProcessEvent;
use mhnos_protocol::limits;
use mhnos_protocol::v2::{Event, Reply, Topic};
use mhnos_sync::hub::status::Status;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::Session;
use super::v2::shown;
use crate::gate::Principal;
use crate::runtime::{Failure, Tag};

/// A running subscription; dropped, it ends.
pub(super) struct Subscription {
    task: JoinHandle<()>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Subscription {
    /// Begins to tell of `topics`.
    pub(super) fn begin(session: &Session, topics: Vec<Topic>) -> Result<Self, Failure> {
        if topics.contains(&Topic::Log) || topics.contains(&Topic::Origins) {
            // They tell what other pages do.
            session.runtime.only_control(&session.principal)?;
        }
        let session = session.clone();
        let mut events = session.runtime.table.subscribe();
        let mut lines = session.runtime.log_lines.subscribe();
        let mut pages = session.runtime.trust.subscribe();
        let mut sync = session.runtime.sync.changes();
        let mut sync_told = Instant::now() - limits::SYNC_CHANGED_INTERVAL;
        let mut health = interval(limits::HEALTH_INTERVAL);
        health.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let wants = move |topic| topics.contains(&topic);
        let task = tokio::spawn(async move {
            loop {
                let event = tokio::select! {
                    event = events.recv() => match event {
                        Ok(event) => translate(event, &session.principal, &wants),
                        Err(RecvError::Lagged(events)) => Some(Event::Missed { events }),
                        Err(RecvError::Closed) => return,
                    },
                    line = lines.recv(), if wants(Topic::Log) => match line {
                        Ok(line) => Some(Event::Log { level: line.level, time: line.time, message: line.message }),
                        Err(RecvError::Lagged(events)) => Some(Event::Missed { events }),
                        Err(RecvError::Closed) => return,
                    },
                    page = pages.recv(), if wants(Topic::Origins) => match page {
                        Ok(event) => Some(event),
                        Err(RecvError::Lagged(events)) => Some(Event::Missed { events }),
                        Err(RecvError::Closed) => return,
                    },
                    Some(()) = sync_changed(&mut sync, sync_told), if wants(Topic::Sync) => {
                        sync_told = Instant::now();
                        let status = Arc::clone(&sync.borrow_and_update());
                        Some(Event::SyncChanged { status: session.runtime.sync.shown(&session.principal, &status) })
                    },
                    _ = health.tick(), if wants(Topic::Health) => Some(Event::Health {
                        uptime: session.runtime.uptime(),
                        memory: mhnos_process::system::own_memory(),
                        connections: session.runtime.connections(),
                        counts: session.runtime.counts(),
                    }),
                };
                if let Some(event) = event {
                    session.reply_v2(Reply::Event { event }).await;
                }
            }
        });
        Ok(Self { task })
    }
}

/// How sync stands has changed, and the last word on it is not too young. Never, once the sync has stopped.
async fn sync_changed(sync: &mut watch::Receiver<Arc<Status>>, told: Instant) -> Option<()> {
    if sync.changed().await.is_err() {
        return std::future::pending().await;
    }
    sync.mark_changed();
    sleep_until(told + limits::SYNC_CHANGED_INTERVAL).await;
    Some(())
}

/// The event in the terms of the wire, if this client wants it and may see it.
fn translate(
    event: ProcessEvent<Tag>,
    principal: &Principal,
    wants: &impl Fn(Topic) -> bool,
) -> Option<Event> {
    let (ProcessEvent::Started(process)
    | ProcessEvent::Measured(process)
    | ProcessEvent::Ended(process)
    | ProcessEvent::PortOpened(process, _)
    | ProcessEvent::PortClosed(process, _)) = &event;
    if !principal.may_touch(&process.tag().owner) {
        return None;
    }
    let pid = process.pid();
    let (topic, translated) = match event {
        ProcessEvent::Started(process) => {
            (Topic::Processes, Event::ProcessStarted { process: shown(&process) })
        }
        ProcessEvent::Measured(process) => {
            let measured = process.measured();
            let (cpu, memory, members) = (measured.cpu, measured.memory, measured.members);
            (Topic::Processes, Event::ProcessChanged { pid, cpu, memory, members })
        }
        ProcessEvent::Ended(process) => (Topic::Processes, Event::ProcessEnded { process: shown(&process) }),
        ProcessEvent::PortOpened(_, port) => (Topic::Ports, Event::PortOpened { pid, port }),
        ProcessEvent::PortClosed(_, port) => (Topic::Ports, Event::PortClosed { pid, port }),
    };
    wants(topic).then_some(translated)
}
