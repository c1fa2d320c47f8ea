//! Whether a runtime runs and answers, and whether the port it wants is to be had.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use mhnos_process::system::port_holder;
use mhnos_server::state::StateDirectory;

use super::Check;
use crate::cli::format::duration;
use crate::cli::health;

pub(super) async fn check(state: &StateDirectory) -> Check {
    const NAME: &str = "runtime";
    let runtime = match state.runtime() {
        Ok(Some(runtime)) => runtime,
        Ok(None) => return Check::warn(NAME, "not running", "start it with `mhnos-runtime serve`"),
        Err(error) => return Check::error(NAME, error),
    };
    match health::over_http(&runtime).await {
        Ok(health) => Check::ok(
            NAME,
            format!(
                "version {} at {} for {} (pid {})",
                runtime.version,
                runtime.url,
                duration(Duration::from_secs_f64(health.uptime.max(0.0))),
                runtime.pid
            ),
        ),
        Err(failure) => Check::fail(
            NAME,
            format!("runs (pid {}) but is not healthy: {failure}", runtime.pid),
            format!("end it with `kill {}` and start it with `mhnos-runtime serve`", runtime.pid),
        ),
    }
}

/// Whether the port is free, ours, or whose.
pub(super) async fn port(port: u16, running: Option<u16>) -> Check {
    const NAME: &str = "port";
    if port == 0 {
        return Check::ok(NAME, "0: any free one is taken");
    }
    if running == Some(port) {
        return Check::ok(NAME, format!("{port}: held by the running runtime"));
    }
    let other_port = "choose another with `--port` or MHNOS_RUNTIME_PORT";
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Check::ok(NAME, format!("{port}: free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let holder = port_holder(port).map_or_else(
                || "a program of another user".into(),
                |holder| format!("{} (pid {})", holder.name, holder.os_pid),
            );
            if health::answers(port).await {
                return Check::warn(
                    NAME,
                    format!("{port}: held by {holder}, where a runtime answers"),
                    "it is one in a container (`mhnos-runtime docker status`) or of another state folder: use that, or stop it",
                );
            }
            Check::fail(
                NAME,
                format!("{port}: held by {holder}"),
                format!("end that program, or {other_port}"),
            )
        }
        Err(error) => Check::fail(NAME, format!("{port}: {error}"), other_port),
    }
}
