//! The bridge as a child of this app: `mhnos-runtime serve`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mhnos_server::state::StateDirectory;

use super::child::Child;
use super::lines::Lines;
use super::{Endpoint, Engine, EngineError, Kind, Way, runtime_program};

/// How long it may take to end its programs and itself. Its own bound is below that.
const STOP_TIME: Duration = Duration::from_secs(15);

/// A child of ours.
pub(crate) struct Native {
    state: StateDirectory,
    child: Option<Child>,
    lines: Lines,
}

impl Native {
    /// One that is not started yet.
    pub(crate) fn new(state: StateDirectory) -> Self {
        Self { state, child: None, lines: Lines::default() }
    }
}

impl Engine for Native {
    fn kind(&self) -> Kind {
        Kind::Native
    }

    fn is_ours(&self) -> bool {
        true
    }

    fn start(&mut self) -> BoxFuture<'_, Result<(), EngineError>> {
        async {
            let program = runtime_program()?;
            let mut command = Command::new(&program);
            command.arg("--state-dir").arg(self.state.path()).arg("serve");
            self.lines.clear();
            let child = Child::start(command, self.lines.clone()).await.map_err(|error| {
                EngineError(format!(
                    "{} cannot be started: {error}: install MHNOS Runtime anew",
                    program.display()
                ))
            })?;
            self.child = Some(child);
            Ok(())
        }
        .boxed()
    }

    fn endpoint(&mut self) -> BoxFuture<'_, Result<Option<Endpoint>, EngineError>> {
        async { Ok(announced(&self.state)) }.boxed()
    }

    fn ended(&mut self) -> BoxFuture<'_, String> {
        async {
            match &mut self.child {
                Some(child) => child.ended().await,
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn stop(&mut self) -> BoxFuture<'_, Result<(), EngineError>> {
        async {
            if let Some(mut child) = self.child.take() {
                child.stop(STOP_TIME).await;
            }
            Ok(())
        }
        .boxed()
    }

    fn lines(&self) -> Vec<String> {
        self.lines.all()
    }
}

/// Where the bridge of this state folder says that it listens. Only what lives counts: one that was killed leaves its word behind.
pub(super) fn announced(state: &StateDirectory) -> Option<Endpoint> {
    let runtime = state.announced().filter(|runtime| is_alive(runtime.pid))?;
    Some(Endpoint { url: runtime.url, port: runtime.port, way: Way::Control(state.control_socket()) })
}

/// Whether there is a process of this number.
pub(super) fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}
