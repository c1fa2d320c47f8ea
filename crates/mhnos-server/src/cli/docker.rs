//! `docker`: the runtime in a container, made and kept for the person. The work is done by `mhnos-docker`; here is what is said of it.
//!
//! `up` is all most people need: it makes the image where there is none, and waits until the runtime inside answers at its port. `down`
//! takes away everything but the workspace.

mod arguments;
mod doctor;
mod image;
mod status;
mod up;
mod watch;

use mhnos_docker::{DockerError, Engine, Variant};
use mhnos_process::system::port_holder;

pub(crate) use self::arguments::DockerCommand;
use super::failure::{Failure, SUCCESS};
use super::output;

pub(crate) async fn run(command: DockerCommand, as_json: bool) -> Result<i32, Failure> {
    if matches!(command, DockerCommand::Doctor) {
        return doctor::run(as_json).await;
    }
    let engine = Engine::find().await?;
    match command {
        DockerCommand::Doctor => doctor::run(as_json).await,
        DockerCommand::Build(arguments) => image::run(&engine, &arguments, as_json).await,
        DockerCommand::Up(arguments) => up::run(&engine, arguments, as_json).await,
        DockerCommand::Stop(which) => {
            engine.stop(which.variant()).await?;
            said(
                as_json,
                format!("{} is stopped: `mhnos-runtime docker up` starts it again", name(which.variant())),
            )
        }
        DockerCommand::Restart(which) => {
            engine.restart(which.variant()).await?;
            up::answering(&engine, which.variant(), which.variant().port()).await?;
            said(as_json, format!("{} runs again", name(which.variant())))
        }
        DockerCommand::Down(which) => {
            let removed = engine.down(which.variant()).await?;
            match (as_json, removed.is_empty()) {
                (true, _) => output::json(&serde_json::json!({ "removed": removed }))?,
                (false, true) => output::text("there was nothing to remove\n")?,
                (false, false) => {
                    output::text(&format!("removed {}; the workspace stays\n", removed.join(", ")))?;
                }
            }
            Ok(SUCCESS)
        }
        DockerCommand::Status(arguments) => status::run(&engine, &arguments, as_json).await,
        DockerCommand::Logs(arguments) => watch::logs(&engine, &arguments, as_json).await,
        DockerCommand::Stats(arguments) => watch::stats(&engine, &arguments, as_json).await,
        DockerCommand::Token(which) => {
            let token = engine.token(which.variant()).await?;
            match as_json {
                true => output::json(&serde_json::json!({ "token": token }))?,
                false => output::text(&format!("{token}\n"))?,
            }
            Ok(SUCCESS)
        }
    }
}

fn name(variant: Variant) -> &'static str {
    variant.container()
}

fn said(as_json: bool, sentence: String) -> Result<i32, Failure> {
    match as_json {
        true => output::json(&serde_json::json!({ "ok": true }))?,
        false => output::text(&format!("{sentence}\n"))?,
    }
    Ok(SUCCESS)
}

impl From<DockerError> for Failure {
    fn from(error: DockerError) -> Self {
        let error = match error {
            // The engine cannot say who has it; this machine can.
            DockerError::PortTaken { port, .. } => {
                let holder = port_holder(port)
                    .map(|holder| format!(" by {} (pid {})", holder.name, holder.os_pid))
                    .unwrap_or_default();
                DockerError::PortTaken { port, holder }
            }
            other => other,
        };
        Self::Other(error.to_string())
    }
}
