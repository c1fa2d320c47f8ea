//! A bridge that was started, until it ends: reached, asked every second whether it answers, and listened to.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, OptionFuture};
use mhnos_protocol::v2::{Event, Reply, Request, Topic};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::attempts::Attempts;
use super::{KNOCK, Order, Outcome, PATIENCE, Work, next_order, now};
use crate::engine::{Endpoint, Engine, Kind};
use crate::link::{self, ANSWER_TIME, Link, LinkError};
use crate::snapshot::Phase;

/// Between two questions whether it answers.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long one that runs may be silent before it is ended.
const SILENCE: Duration = Duration::from_secs(15);

/// How a connection to a bridge came to its end.
enum Lost {
    Outcome(Outcome),
    /// The connection broke off, or the bridge fell silent; it may still be there.
    Connection,
}

impl Work {
    /// Reaches the bridge and stays with it, anew whenever the connection is lost, until it has ended.
    pub(super) async fn watch(&mut self, engine: &mut dyn Engine, attempts: &mut Attempts) -> Outcome {
        loop {
            let since = Instant::now();
            let (link, endpoint) = match self.reach(engine, attempts.was_green(), since).await {
                Ok(reached) => reached,
                Err(outcome) => return outcome,
            };
            attempts.answered(std::time::Instant::now());
            match self.stay(engine, link, &endpoint).await {
                Lost::Outcome(outcome) => return outcome,
                Lost::Connection => self.change(Phase::Starting, Some("the runtime does not answer".into())),
            }
        }
    }

    /// Knocks until there was a round trip.
    async fn reach(
        &mut self,
        engine: &mut dyn Engine,
        answered_before: bool,
        since: Instant,
    ) -> Result<(Link, Endpoint), Outcome> {
        let mut is_long = false;
        loop {
            let endpoint = tokio::select! {
                endpoint = engine.endpoint() => endpoint,
                order = next_order(&mut self.orders) => match order {
                    Order::Start => continue,
                    order => return Err(Outcome::Ordered(order)),
                },
            };
            let endpoint = match endpoint {
                Ok(endpoint) => endpoint,
                Err(error) if !answered_before => return Err(Outcome::Refused(error)),
                Err(_) => None,
            };
            let knock = async {
                let endpoint = endpoint?;
                let link = link::connect(&endpoint).await.ok()?;
                Some((link, endpoint))
            };
            tokio::select! {
                order = next_order(&mut self.orders) => match order {
                    Order::Start => {}
                    order => return Err(Outcome::Ordered(order)),
                },
                why = engine.ended() => return Err(Outcome::Ended(why)),
                reached = knock => match reached {
                    Some(reached) => return Ok(reached),
                    None => tokio::time::sleep(KNOCK).await,
                },
            }
            let silent = since.elapsed();
            let is_container = engine.kind() == Kind::Docker;
            if answered_before && silent > SILENCE && (engine.is_ours() || is_container) {
                // A container is not ended for it: `docker up` sees what is missing.
                if !is_container {
                    let _ = engine.stop().await;
                }
                return Err(Outcome::Ended(format!("it did not answer for {} s", SILENCE.as_secs())));
            }
            if !is_long && silent > PATIENCE {
                is_long = true;
                let seconds = PATIENCE.as_secs();
                let why = format!("it has not answered for {seconds} s: look at Logs and Doctor, or stop it");
                self.change(Phase::Starting, Some(why));
            }
        }
    }

    /// Stays with a bridge that answers.
    async fn stay(&mut self, engine: &mut dyn Engine, mut link: Link, endpoint: &Endpoint) -> Lost {
        if self.ask_all(&link).await.is_err() {
            return Lost::Connection;
        }
        self.publish.send_modify(|snapshot| {
            snapshot.is_ours = engine.is_ours();
            snapshot.engine.phase = Phase::Running;
            snapshot.engine.since = Some(now());
            snapshot.engine.reason = None;
            snapshot.engine.url = Some(endpoint.url.replace("127.0.0.1", "localhost"));
            snapshot.engine.port = endpoint.port;
        });
        self.line.send_replace(Some(link.line.clone()));
        let mut heartbeat = interval(HEARTBEAT);
        // After a sleep of the machine: once, at once.
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pulse: OptionFuture<BoxFuture<'static, bool>> = None.into();
        let mut beats = false;
        loop {
            tokio::select! {
                order = next_order(&mut self.orders) => match order {
                    Order::Start => {}
                    order => return Lost::Outcome(Outcome::Ordered(order)),
                },
                why = engine.ended() => return Lost::Outcome(Outcome::Ended(why)),
                _ = heartbeat.tick(), if !beats => {
                    let line = link.line.clone();
                    let asked = async move { timeout(ANSWER_TIME, line.ask(Request::Ping)).await };
                    pulse = Some(asked.map(|answer| matches!(answer, Ok(Ok(_)))).boxed()).into();
                    beats = true;
                }
                Some(answered) = &mut pulse, if beats => {
                    beats = false;
                    if !answered {
                        return Lost::Connection;
                    }
                }
                message = link.news.recv() => {
                    let Some(message) = message else { return Lost::Connection };
                    let mut is_whole = true;
                    self.publish.send_if_modified(|snapshot| {
                        is_whole = snapshot.apply(&message);
                        changes(&message)
                    });
                    if let Reply::Event { event } = message {
                        // Nobody may be listening.
                        let _ = self.news.send(event);
                    }
                    if !is_whole && self.ask_all(&link).await.is_err() {
                        return Lost::Connection;
                    }
                }
            }
        }
    }

    /// Asks how everything stands, and to be told from now on.
    async fn ask_all(&self, link: &Link) -> Result<(), LinkError> {
        let topics = vec![Topic::Processes, Topic::Origins, Topic::Sync];
        for request in [Request::Subscribe { topics }, Request::Origins, Request::SyncStatus] {
            match timeout(ANSWER_TIME, link.line.ask(request)).await {
                Ok(Ok(reply)) => {
                    self.publish.send_modify(|snapshot| {
                        let _ = snapshot.apply(&reply);
                    });
                }
                // A bridge without sync, or of an earlier version, is still a bridge.
                Ok(Err(LinkError::Refused(why))) => tracing::debug!(%why, "not told"),
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(LinkError::Gone),
            }
        }
        Ok(())
    }
}

/// Whether a message changes anything that is shown.
fn changes(message: &Reply) -> bool {
    !matches!(
        message,
        Reply::Event { event: Event::ProcessChanged { .. } | Event::Health { .. } | Event::Log { .. } }
    )
}
