//! What the window can ask of this app: only what a page cannot do itself. Everything about programs and files goes over the WebSocket, as in
//! any browser tab, with the ticket that [`connection`] gives.
//!
//! There is no command that answers an approval prompt. Errors are sentences, and so plain text on the other side.

pub(crate) mod docker;

use std::sync::Arc;

use mhnos_protocol::v2::{Reply, Request};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tauri::{AppHandle, Emitter, State};

use crate::desktop::Desktop;
use crate::engine::Kind;
use crate::settings::{self, Changes, Everything};
use crate::snapshot::EngineState;
use crate::{diagnostics, dialogs, doctor};

/// The origin of the window's page, which its ticket is good for.
const WINDOW_ORIGIN: &str = "tauri://localhost";

/// A sentence for the person.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Sentence(String);

impl<E: std::error::Error> From<E> for Sentence {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

type Said<T> = Result<T, Sentence>;
type Shared<'a> = State<'a, Arc<Desktop>>;

/// Tells the window whenever the engine's state changes.
pub(crate) async fn tell(desktop: Arc<Desktop>) {
    let mut snapshot = desktop.supervisor.snapshot();
    let mut told = None;
    loop {
        let state = snapshot.borrow_and_update().engine.clone();
        if told.as_ref() != Some(&state) {
            if let Err(error) = desktop.app.emit("engine", &state) {
                tracing::debug!(%error, "the window was not told");
            }
            told = Some(state);
        }
        if snapshot.changed().await.is_err() {
            return;
        }
    }
}

#[tauri::command]
pub(crate) fn engine_state(desktop: Shared<'_>) -> EngineState {
    desktop.supervisor.snapshot().borrow().engine.clone()
}

#[tauri::command]
pub(crate) async fn engine_start(desktop: Shared<'_>) -> Said<()> {
    desktop.supervisor.start().await;
    Ok(())
}

#[tauri::command]
pub(crate) async fn engine_stop(desktop: Shared<'_>) -> Said<()> {
    desktop.supervisor.stop().await;
    Ok(())
}

#[tauri::command]
pub(crate) async fn engine_restart(desktop: Shared<'_>) -> Said<()> {
    desktop.supervisor.restart().await;
    Ok(())
}

#[tauri::command]
pub(crate) async fn engine_switch(desktop: Shared<'_>, kind: Kind) -> Said<()> {
    Ok(desktop.switch(kind).await?)
}

/// Where the window connects to, and with what.
#[derive(Serialize)]
pub(crate) struct Connection {
    url: String,
    ticket: String,
}

#[tauri::command]
pub(crate) async fn connection(desktop: Shared<'_>) -> Said<Connection> {
    let line = desktop.supervisor.line()?;
    let request = Request::Ticket { origin: Some(WINDOW_ORIGIN.into()), resume: false };
    let Reply::Ticket { ticket, .. } = line.ask(request).await? else {
        return Err(Sentence("the runtime gave no ticket: is it of another version?".into()));
    };
    let port = desktop.supervisor.snapshot().borrow().engine.port;
    Ok(Connection { url: format!("ws://localhost:{port}/"), ticket })
}

#[tauri::command]
pub(crate) fn settings(desktop: Shared<'_>) -> Said<Everything> {
    Ok(settings::everything(&desktop.state)?)
}

#[tauri::command]
pub(crate) async fn settings_save(desktop: Shared<'_>, settings: Changes) -> Said<()> {
    let before = settings::app(&desktop.state).engine;
    desktop.save(settings)?;
    let chosen = settings::app(&desktop.state).engine;
    if chosen != before {
        desktop.supervisor.switch(chosen).await;
    }
    Ok(())
}

/// What [`open`] opens.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Place {
    Workspace,
    Mhnos,
    Logs,
    State,
}

#[tauri::command]
pub(crate) async fn open(desktop: Shared<'_>, what: Place) -> Said<()> {
    let path = match what {
        Place::Workspace => desktop.workspace(),
        Place::Mhnos => settings::app(&desktop.state).mhnos_address,
        Place::Logs => desktop.state.log_directory().display().to_string(),
        Place::State => desktop.state.path().display().to_string(),
    };
    Ok(desktop.open(&path)?)
}

#[tauri::command]
pub(crate) async fn open_url(desktop: Shared<'_>, url: String) -> Said<()> {
    if !settings::is_web_address(&url) {
        return Err(Sentence("only addresses that begin with http:// or https:// are opened".into()));
    }
    let heading = "Open this address in your browser?".to_owned();
    if dialogs::confirm(&desktop.app, heading, url.clone(), "_Open").await {
        desktop.open(&url)?;
    }
    Ok(())
}

#[tauri::command]
pub(crate) async fn doctor(desktop: Shared<'_>) -> Said<Value> {
    Ok(doctor::examine(&desktop).await?)
}

#[tauri::command]
pub(crate) async fn doctor_fix(desktop: Shared<'_>, check: String) -> Said<()> {
    Ok(doctor::fix(&desktop, &check).await?)
}

#[tauri::command]
pub(crate) async fn export_diagnostics(desktop: Shared<'_>) -> Said<Option<String>> {
    let report = doctor::examine(&desktop).await?;
    let state = desktop.supervisor.snapshot().borrow().engine.clone();
    let folder = desktop.state.clone();
    let written = tokio::task::spawn_blocking(move || diagnostics::write(&folder, &report, &state)).await?;
    Ok(Some(written?.display().to_string()))
}

#[tauri::command]
pub(crate) async fn choose_folder(app: AppHandle) -> Option<String> {
    let chosen = dialogs::choose_folder(&app, "Choose the workspace").await;
    chosen.map(|folder| folder.display().to_string())
}

#[tauri::command]
pub(crate) async fn reset(desktop: Shared<'_>) -> Said<()> {
    Ok(desktop.reset().await?)
}

#[tauri::command]
pub(crate) async fn quit(desktop: Shared<'_>) -> Said<()> {
    desktop.quit().await;
    Ok(())
}
