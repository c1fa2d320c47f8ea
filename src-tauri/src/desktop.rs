//! What all parts of the app share, and the few things that several of them do: the window's commands, the tray, a second start.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mhnos_server::settings::{ServeArguments, Settings};
use mhnos_server::state::StateDirectory;
use tauri::{AppHandle, Manager};
use tokio::sync::watch;

use crate::engine::Kind;
use crate::settings::{self, Changes, SettingsFailure};
use crate::snapshot::Phase;
use crate::supervisor::Supervisor;
use crate::{dialogs, window};

/// The app.
pub(crate) struct Desktop {
    /// Tauri's side of it.
    pub(crate) app: AppHandle,
    /// The state folder, the bridge's and ours.
    pub(crate) state: StateDirectory,
    /// Who runs the bridge.
    pub(crate) supervisor: Supervisor,
    /// Whether a tray shows our icon; `None`: not known yet.
    pub(crate) tray: watch::Sender<Option<bool>>,
    /// Held while a person is asked about a link.
    pub(crate) link: tokio::sync::Mutex<()>,
    is_quitting: AtomicBool,
    /// Held while settings are changed, so that no change is lost to another.
    saving: Mutex<()>,
}

/// Why something could not be opened; a sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenFailure {
    /// The settings say where it is, and cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsFailure),
    /// Nothing opens it.
    #[error("{what} cannot be opened: {error}: open it by hand")]
    NotOpened {
        /// Path or address.
        what: String,
        /// Why.
        error: std::io::Error,
    },
}

impl Desktop {
    /// All of it; the bridge is started if the settings say so.
    pub(crate) fn begin(app: AppHandle, state: StateDirectory) -> Arc<Self> {
        let supervisor = Supervisor::begin(state.clone(), settings::app(&state).start_runtime);
        Arc::new(Self {
            app,
            state,
            supervisor,
            tray: watch::Sender::new(None),
            link: tokio::sync::Mutex::new(()),
            is_quitting: AtomicBool::new(false),
            saving: Mutex::new(()),
        })
    }

    /// The one of this app.
    pub(crate) fn of(app: &AppHandle) -> Arc<Self> {
        Arc::clone(&app.state::<Arc<Self>>())
    }

    /// The workspace's path.
    pub(crate) fn workspace(&self) -> String {
        Settings::load(&ServeArguments::default(), &self.state)
            .map_or_else(|_| "the workspace".into(), |settings| settings.workspace.display().to_string())
    }

    /// Keeps changed settings.
    pub(crate) fn save(&self, changes: Changes) -> Result<(), SettingsFailure> {
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        settings::save(&self.state, changes)
    }

    /// Lets another engine run the bridge, now and later.
    pub(crate) async fn switch(&self, kind: Kind) -> Result<(), SettingsFailure> {
        self.save(Changes::app("engine", serde_json::json!(kind)))?;
        self.supervisor.switch(kind).await;
        Ok(())
    }

    /// Gives the bridge the next free port, and starts it there.
    pub(crate) async fn use_another_port(&self) -> Result<u16, SettingsFailure> {
        let taken = self.supervisor.snapshot().borrow().engine.port;
        let free = free_port(taken);
        self.save(Changes::runtime("port", serde_json::json!(free)))?;
        self.supervisor.restart().await;
        Ok(free)
    }

    /// Opens a path or an address with what the person uses for such things.
    pub(crate) fn open(&self, what: &str) -> Result<(), OpenFailure> {
        open::that_detached(what).map_err(|error| OpenFailure::NotOpened { what: what.into(), error })
    }

    /// Whether the window may be closed without ending the app.
    pub(crate) fn stays_in_tray(&self) -> bool {
        *self.tray.borrow() == Some(true) && settings::app(&self.state).close_to_tray
    }

    /// What ends with the app, for a person; `None`: nothing.
    pub(crate) fn ends_with_us(&self) -> Option<String> {
        let snapshot = self.supervisor.snapshot();
        let snapshot = snapshot.borrow();
        let runs = matches!(snapshot.engine.phase, Phase::Running | Phase::Starting);
        let programs = crate::notifications::count(snapshot.processes.len() as u32, "program");
        match (runs && snapshot.is_ours, snapshot.processes.len()) {
            (false, _) => None,
            (true, 0) => Some("the runtime".into()),
            (true, _) => Some(format!("the runtime and {programs}")),
        }
    }

    /// Closing the only window where no tray stands in for it ends the app: asked about, when something ends with it.
    pub(crate) async fn close_last_window(&self) {
        let sure = match self.ends_with_us() {
            None => true,
            Some(what) => {
                let detail =
                    "There is no tray icon to reach it by, so closing the window ends MHNOS Runtime.";
                dialogs::confirm(&self.app, format!("Quit, and stop {what}?"), detail.into(), "_Quit").await
            }
        };
        if sure {
            self.quit().await;
        }
    }

    /// Ends what is ours, and then the app.
    pub(crate) async fn quit(&self) {
        if self.is_quitting.swap(true, Ordering::Relaxed) {
            return;
        }
        window::close(&self.app);
        self.supervisor.quit().await;
        self.app.exit(0);
    }

    /// Stops the bridge and forgets the settings of both; a person's files, and what pages may do, stay.
    pub(crate) async fn reset(&self) -> Result<(), SettingsFailure> {
        self.supervisor.stop().await;
        {
            let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
            settings::forget(&self.state)?;
        }
        self.supervisor.switch(Kind::Native).await;
        self.supervisor.start().await;
        Ok(())
    }
}

/// The first port behind this one that nobody has on either loopback address.
fn free_port(taken: u16) -> u16 {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
    let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let is_free = |port: &u16| {
        loopback.iter().all(|address| match TcpListener::bind((*address, *port)) {
            Err(error) => error.kind() != std::io::ErrorKind::AddrInUse,
            Ok(_) => true,
        })
    };
    // 0 is any free one.
    (taken.saturating_add(1)..=taken.saturating_add(100)).find(is_free).unwrap_or(0)
}
