//! A bridge that runs already: started by systemd, or by a person in a terminal. It is found through the announcement in the state folder.
//!
//! It is shown, used and, when a person says so, stopped; it is not started anew and does not end with the app.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mhnos_server::state::StateDirectory;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::native::{announced, is_alive};
use super::{Endpoint, Engine, EngineError, Kind};

/// Between two looks whether it still holds the state folder's lock.
const LOOK: Duration = Duration::from_millis(500);

/// How long it may take to stop.
const STOP_TIME: Duration = Duration::from_secs(15);

/// Somebody else's.
pub(crate) struct Existing {
    state: StateDirectory,
    pid: u32,
}

impl Existing {
    /// The one that runs on this state folder, if one does.
    pub(crate) fn find(state: &StateDirectory) -> Option<Self> {
        // Asked without the lock first: a bridge that starts at this moment must find it free.
        state.announced().filter(|runtime| is_alive(runtime.pid))?;
        let runtime = state.runtime().ok().flatten()?;
        Some(Self { state: state.clone(), pid: runtime.pid })
    }

    fn runs(&self) -> bool {
        is_alive(self.pid) && self.state.announced().is_some_and(|runtime| runtime.pid == self.pid)
    }

    async fn gone(&self) {
        while self.runs() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Engine for Existing {
    fn kind(&self) -> Kind {
        Kind::Existing
    }

    fn is_ours(&self) -> bool {
        false
    }

    fn start(&mut self) -> BoxFuture<'_, Result<(), EngineError>> {
        std::future::ready(Ok(())).boxed()
    }

    fn endpoint(&mut self) -> BoxFuture<'_, Result<Option<Endpoint>, EngineError>> {
        async { Ok(announced(&self.state)) }.boxed()
    }

    fn ended(&mut self) -> BoxFuture<'_, String> {
        async {
            self.gone().await;
            "what had started it has stopped it, or it ended".into()
        }
        .boxed()
    }

    fn stop(&mut self) -> BoxFuture<'_, Result<(), EngineError>> {
        async {
            let pid = Pid::from_raw(self.pid.cast_signed());
            // The lock proves that the number is still the runtime's.
            let holder = self.state.runtime().ok().flatten();
            if holder.is_none_or(|runtime| runtime.pid != self.pid) {
                return Ok(());
            }
            kill(pid, Signal::SIGTERM).map_err(|error| {
                EngineError(format!("the runtime (pid {pid}) cannot be stopped: {error}"))
            })?;
            tokio::time::timeout(STOP_TIME, self.gone()).await.map_err(|_| {
                EngineError(format!("the runtime (pid {pid}) does not stop: end it by hand, kill -9 {pid}"))
            })
        }
        .boxed()
    }

    fn lines(&self) -> Vec<String> {
        Vec::new()
    }
}
