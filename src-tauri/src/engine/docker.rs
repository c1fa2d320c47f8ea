//! The bridge in a container, through `mhnos-runtime docker`, which knows all there is to know of containers.
//!
//! A container outlives whoever made it and Docker starts it anew after a crash, so its end is not watched for: the supervisor sees that
//! the bridge does not answer any more, and `docker up` makes good whatever is missing. One that ran before `docker up` is somebody else's
//! and goes on without us; what runs because of us is stopped, also when its start is given up halfway.

use std::process::Stdio;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mhnos_server::settings::{ServeArguments, Settings};
use mhnos_server::state::StateDirectory;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use super::lines::Lines;
use super::{Endpoint, Engine, EngineError, Kind, Way, refusal, runtime_command};

/// A container.
pub(crate) struct Docker {
    state: StateDirectory,
    up: Option<Child>,
    /// Whether `docker up` was begun, so that there may be a container that runs.
    is_begun: bool,
    url: Option<String>,
    /// Whether it runs because of us; `None`: not known yet.
    is_ours: Option<bool>,
    lines: Lines,
}

/// A line of `docker up --json`.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Progress {
    Step {
        number: u32,
        of: u32,
        what: String,
    },
    Line {
        line: String,
    },
    Done {
        outcome: String,
        url: String,
    },
    #[serde(other)]
    Other,
}

impl Docker {
    /// One that is not looked for yet.
    pub(crate) fn new(state: StateDirectory) -> Self {
        Self { state, up: None, is_begun: false, url: None, is_ours: None, lines: Lines::default() }
    }

    /// Begins `docker up`, which may fetch and build for minutes. Giving up on it ends it.
    async fn begin(&mut self) -> Result<(), EngineError> {
        // An engine that does not say this says why to `docker up`.
        match state().await {
            Ok(state) if state == "running" => drop(self.is_ours.get_or_insert(false)),
            _ => self.is_ours = Some(true),
        }
        let settings = Settings::load(&ServeArguments::default(), &self.state)
            .map_err(|error| EngineError(error.to_string()))?;
        let mut command = runtime_command()?;
        command.args(["docker", "up", "--json", "--workspace"]).arg(&settings.workspace);
        if settings.port != 0 {
            command.args(["--port", &settings.port.to_string()]);
        }
        for origin in &settings.allowed_origins {
            command.args(["--allow-origin", &origin.to_string()]);
        }
        if settings.allow_loopback_origins {
            command.args(["--allow-origin", "loopback"]);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        self.lines.clear();
        self.url = None;
        self.is_begun = true;
        self.up = Some(command.spawn().map_err(|error| EngineError(format!("docker up: {error}")))?);
        Ok(())
    }

    /// Follows `docker up` to its end.
    async fn follow(&mut self) -> Result<(), EngineError> {
        let Some(up) = &mut self.up else { return Ok(()) };
        let (Some(output), Some(errors)) = (up.stdout.take(), up.stderr.take()) else { return Ok(()) };
        let mut output = BufReader::new(output).lines();
        let mut errors = BufReader::new(errors).lines();
        let (mut open, mut said) = ((true, true), String::new());
        while open.0 || open.1 {
            tokio::select! {
                line = output.next_line(), if open.0 => match line {
                    Ok(Some(line)) => match serde_json::from_str(&line) {
                        Ok(Progress::Step { number, of, what }) => {
                            self.lines.push(format!("step {number} of {of}: {what}"));
                        }
                        Ok(Progress::Line { line }) => self.lines.push(line),
                        Ok(Progress::Done { outcome, url }) => {
                            if outcome == "made anew" {
                                self.is_ours = Some(true);
                            }
                            self.url = Some(url);
                        }
                        Ok(Progress::Other) | Err(_) => {}
                    },
                    Ok(None) | Err(_) => open.0 = false,
                },
                line = errors.next_line(), if open.1 => match line {
                    Ok(Some(line)) => {
                        said = refusal(&line);
                        self.lines.push(said.clone());
                    }
                    Ok(None) | Err(_) => open.1 = false,
                },
            }
        }
        let status = up.wait().await;
        self.up = None;
        match status {
            Ok(status) if status.success() => Ok(()),
            _ if !said.is_empty() => Err(EngineError(said)),
            _ => Err(EngineError("docker up did not succeed: see the page Docker".into())),
        }
    }
}

impl Engine for Docker {
    fn kind(&self) -> Kind {
        Kind::Docker
    }

    fn is_ours(&self) -> bool {
        self.is_ours.unwrap_or(true)
    }

    fn start(&mut self) -> BoxFuture<'_, Result<(), EngineError>> {
        async {
            self.begin().await?;
            self.follow().await
        }
        .boxed()
    }

    fn endpoint(&mut self) -> BoxFuture<'_, Result<Option<Endpoint>, EngineError>> {
        async {
            let Some(url) = &self.url else { return Ok(None) };
            let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
            let port = port.ok_or_else(|| EngineError(format!("docker up named no port: {url}")))?;
            let token = said(&["docker", "token"]).await?;
            let way = Way::Token(token.trim().to_owned());
            Ok(Some(Endpoint { url: format!("ws://localhost:{port}"), port, way }))
        }
        .boxed()
    }

    fn ended(&mut self) -> BoxFuture<'_, String> {
        std::future::pending().boxed()
    }

    fn stop(&mut self) -> BoxFuture<'_, Result<(), EngineError>> {
        async {
            if let Some(mut up) = self.up.take() {
                let _ = up.kill().await;
            }
            self.url = None;
            if !std::mem::take(&mut self.is_begun) {
                return Ok(());
            }
            match said(&["docker", "stop"]).await {
                Err(_) if state().await.is_ok_and(|state| state == "absent") => Ok(()),
                stopped => stopped.map(drop),
            }
        }
        .boxed()
    }

    fn lines(&self) -> Vec<String> {
        self.lines.all()
    }
}

/// How the container stands, in the engine's word; `absent`: there is none.
async fn state() -> Result<String, EngineError> {
    #[derive(Deserialize)]
    struct Container {
        state: String,
    }
    let containers: Vec<Container> = serde_json::from_str(&said(&["docker", "status", "--json"]).await?)
        .map_err(|error| EngineError(format!("mhnos-runtime docker status gave no answer: {error}")))?;
    // The usual one comes first.
    Ok(containers.into_iter().next().map_or_else(|| "absent".into(), |container| container.state))
}

/// What a command of `mhnos-runtime` prints.
async fn said(arguments: &[&str]) -> Result<String, EngineError> {
    let failed = |error: &dyn std::fmt::Display| {
        EngineError(format!("mhnos-runtime {} did not succeed: {error}", arguments.join(" ")))
    };
    let output = runtime_command()?.args(arguments).output().await.map_err(|error| failed(&error))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(failed(&refusal(&String::from_utf8_lossy(&output.stderr))))
    }
}
