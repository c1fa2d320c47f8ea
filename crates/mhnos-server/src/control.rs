//! The Unix socket of the state folder, where this user's own commands (and the desktop app) have the control role.
//!
//! Nobody shows a secret here: the kernel says who is at the other end. It must be this user, or root, and must not be a program that the
//! runtime itself has started, nor anything below it: a sandboxed program can reach the socket's path, and must not widen its own cage. What is
//! spoken is the same 2.0, over the same HTTP upgrade, as everywhere.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::any;
use mhnos_process::system;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use crate::gate::Principal;
use crate::http::{self, Shared};
use crate::runtime::Runtime;
use crate::state::{StateDirectory, StateError};

/// Binds the socket. What a runtime that was killed has left in its place is removed; only the holder of the folder's lock may call this.
///
/// # Errors
/// When it cannot be bound.
pub fn bind(state: &StateDirectory) -> Result<UnixListener, StateError> {
    let path = state.control_socket();
    let bind = || {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        // The folder keeps others away already; this holds also where somebody opens the folder.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    bind().map_err(|error| StateError::Io { path: path.clone(), error })
}

/// Serves connections until `stopping` becomes true.
pub async fn serve(listener: UnixListener, runtime: Arc<Runtime>, mut stopping: watch::Receiver<bool>) {
    let shared = Shared::new(runtime, stopping.clone());
    let router = Router::new().route("/", any(upgrade)).with_state(shared);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            Ok((socket, _)) => match check_peer(&socket) {
                Ok(()) => http::accept(socket, router.clone(), stopping.clone()),
                // Closed without a word: who is not allowed to ask is not told why.
                Err(reason) => tracing::warn!("refused at the control socket: {reason}"),
            },
            Err(error) => {
                tracing::warn!(%error, "a command could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

async fn upgrade(State(shared): State<Shared>, request: Request) -> axum::response::Response {
    http::upgrade::<UnixStream>(shared, request, Principal::Control)
}

/// Who is at the other end, as the kernel noted when it connected.
fn check_peer(socket: &UnixStream) -> Result<(), String> {
    let peer = socket.peer_cred().map_err(|error| format!("its user is unknown ({error})"))?;
    let own = nix::unistd::geteuid().as_raw();
    if peer.uid() != own && peer.uid() != 0 {
        return Err(format!("it is user {}, not {own}", peer.uid()));
    }
    // A process of another pid namespace (a container) has no number here, and cannot be told from a program of ours.
    let Some(pid) = peer.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|&pid| pid > 0) else {
        return Err("it has no process number here".into());
    };
    if system::descends_from(pid, std::process::id()) {
        return Err(format!("process {pid} was started by this runtime"));
    }
    Ok(())
}
