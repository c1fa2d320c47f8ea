//! Containers: made from a [`Spec`], kept, looked at, removed.

use std::collections::HashMap;
use std::path::Path;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::StartExecResults;
use bollard::models::{
    ContainerInspectResponse, EventMessage, ExecConfig, MountPoint, NetworkCreateRequest, VolumeCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, EventsOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveVolumeOptions, RestartContainerOptionsBuilder, StatsOptionsBuilder, StopContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use crate::engine::Engine;
use crate::error::{DockerError, explain, one_line};
use crate::find::Address;
use crate::spec::{NETWORK, SPEC_LABEL, Spec, Variant};
use crate::usage::Usage;

/// Seconds a container has to stop. The runtime takes three at most, and its programs end with it.
const STOP_SECONDS: i32 = 10;

/// What [`Engine::up`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was none, and now one runs.
    Made,
    /// It was there, stopped, and now runs.
    Started,
    /// It was another than is wished for, and was made anew.
    MadeAnew,
    /// It ran as is wished.
    RanAlready,
    /// It was made by something else (`docker run`, `docker compose`), and is left as it is.
    Adopted,
}

/// A container, as the engine describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its image's name.
    pub image: String,
    /// Whether it runs.
    pub running: bool,
    /// In the engine's word: `running`, `exited`…
    pub state: String,
    /// What its health check says: `starting`, `healthy`, `unhealthy`; none has none.
    pub health: Option<String>,
    /// With which code it ended, when it does not run.
    pub exit_code: Option<i64>,
    /// Why the engine could not start it.
    pub error: Option<String>,
    /// Since when, as the engine writes it.
    pub started_at: Option<String>,
    /// The ports of this machine that lead into it.
    pub ports: Vec<u16>,
    /// The folder that is its workspace.
    pub workspace: Option<String>,
    /// Whether it was made here, and not by something else.
    pub is_ours: bool,
}

/// A piece of a container's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPiece {
    /// Whether it was written to standard error.
    pub is_error: bool,
    /// As it was written.
    pub bytes: Bytes,
}

impl Engine {
    /// The container of a variant, if there is one.
    ///
    /// # Errors
    /// When the engine does not say.
    pub async fn container(&self, variant: Variant) -> Result<Option<Container>, DockerError> {
        Ok(self.inspect(variant).await?.map(|found| describe(variant, &found)))
    }

    async fn inspect(&self, variant: Variant) -> Result<Option<ContainerInspectResponse>, DockerError> {
        match self.docker.inspect_container(variant.container(), None).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(explain(format!("look at {}", variant.container()))(error)),
        }
    }

    /// Makes it so that the container runs as it is wished for.
    ///
    /// # Errors
    /// When the image is missing, the port is taken, the name is another container's, the engine's socket is in the workspace, or the
    /// engine refuses.
    pub async fn up(&self, spec: &Spec) -> Result<Outcome, DockerError> {
        self.refuse_own_socket(spec)?;
        let name = spec.variant.container();
        let image = self.image(spec.variant).await?;
        let image = image.ok_or_else(|| DockerError::NoImage { image: spec.variant.image().into() })?;
        let Some(found) = self.inspect(spec.variant).await? else {
            self.make(spec, &image.id).await?;
            return Ok(Outcome::Made);
        };
        let container = describe(spec.variant, &found);
        let label = label(&found);
        if label.is_none() && !is_runtime(&container.image) {
            return Err(DockerError::NotOurs { name: name.into(), image: container.image });
        }
        if label.is_some_and(|label| label != spec.label(&image.id)) {
            self.remove(spec.variant).await?;
            self.make(spec, &image.id).await?;
            return Ok(Outcome::MadeAnew);
        }
        if !container.running {
            self.start(spec).await?;
        }
        Ok(match (label.is_some(), container.running) {
            (false, _) => Outcome::Adopted,
            (true, true) => Outcome::RanAlready,
            (true, false) => Outcome::Started,
        })
    }

    /// A bind mount of a folder shows the sockets in it.
    fn refuse_own_socket(&self, spec: &Spec) -> Result<(), DockerError> {
        let Address::Socket(own) = &self.found().address else { return Ok(()) };
        let usual = [Path::new("/var/run/docker.sock"), Path::new("/run/podman/podman.sock")];
        let sockets =
            usual.into_iter().chain([own.as_path()]).filter_map(|socket| socket.canonicalize().ok());
        match sockets.into_iter().find(|socket| socket.starts_with(&spec.workspace)) {
            None => Ok(()),
            Some(socket) => Err(DockerError::HoldsSocket {
                workspace: spec.workspace.display().to_string(),
                socket: socket.display().to_string(),
            }),
        }
    }

    async fn make(&self, spec: &Spec, image: &str) -> Result<(), DockerError> {
        let name = spec.variant.container();
        self.ensure_network().await?;
        let volume = VolumeCreateRequest {
            name: Some(spec.variant.volume().into()),
            ..VolumeCreateRequest::default()
        };
        self.docker.create_volume(volume).await.map_err(explain("make the volume for the state"))?;
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let body = spec.container(image, self.processors());
        self.docker.create_container(Some(options), body).await.map_err(explain(format!("make {name}")))?;
        if let Err(error) = self.start(spec).await {
            // One that never ran is of no use to anybody, and would be in the way.
            self.remove(spec.variant).await?;
            return Err(error);
        }
        Ok(())
    }

    async fn start(&self, spec: &Spec) -> Result<(), DockerError> {
        let name = spec.variant.container();
        self.docker.start_container(name, None).await.map_err(|error| {
            match explain(format!("start {name}"))(error) {
                DockerError::PortTaken { holder, .. } => DockerError::PortTaken { port: spec.port, holder },
                other => other,
            }
        })
    }

    async fn ensure_network(&self) -> Result<(), DockerError> {
        let request = NetworkCreateRequest { name: NETWORK.into(), ..NetworkCreateRequest::default() };
        match self.docker.inspect_network(NETWORK, None).await {
            Ok(_) => Ok(()),
            Err(_) => self
                .docker
                .create_network(request)
                .await
                .map(drop)
                .map_err(explain("make a network of its own")),
        }
    }

    /// Stops a container; it stays, with all it knows.
    ///
    /// # Errors
    /// When there is none, or the engine refuses.
    pub async fn stop(&self, variant: Variant) -> Result<(), DockerError> {
        let options = StopContainerOptionsBuilder::new().t(STOP_SECONDS).build();
        let stopped = self.docker.stop_container(variant.container(), Some(options)).await;
        self.about_container(variant, "stop", stopped)
    }

    /// Stops and starts a container.
    ///
    /// # Errors
    /// When there is none, or the engine refuses.
    pub async fn restart(&self, variant: Variant) -> Result<(), DockerError> {
        let options = RestartContainerOptionsBuilder::new().t(STOP_SECONDS).build();
        let restarted = self.docker.restart_container(variant.container(), Some(options)).await;
        self.about_container(variant, "restart", restarted)
    }

    fn about_container(
        &self,
        variant: Variant,
        doing: &str,
        result: Result<(), Error>,
    ) -> Result<(), DockerError> {
        result.map_err(|error| no_such(variant, doing, error))
    }

    /// Stops and removes a container, and says whether there was one. What it kept stays in its volume.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn remove(&self, variant: Variant) -> Result<bool, DockerError> {
        match self.stop(variant).await {
            Err(DockerError::NoContainer { .. }) => return Ok(false),
            stopped => stopped?,
        }
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let removed = self.docker.remove_container(variant.container(), Some(options)).await;
        match self.about_container(variant, "remove", removed) {
            // Removed by somebody else in the meantime.
            Err(DockerError::NoContainer { .. }) => Ok(true),
            removed => removed.map(|()| true),
        }
    }

    /// Removes all there is of a variant but the workspace, and says what was removed.
    ///
    /// # Errors
    /// When the engine refuses, or the name is another container's.
    pub async fn down(&self, variant: Variant) -> Result<Vec<String>, DockerError> {
        if let Some(found) = self.inspect(variant).await? {
            let image = describe(variant, &found).image;
            if label(&found).is_none() && !is_runtime(&image) {
                return Err(DockerError::NotOurs { name: variant.container().into(), image });
            }
        }
        let mut removed = Vec::new();
        if self.remove(variant).await? {
            removed.push(format!("the container {}", variant.container()));
        }
        match self.docker.remove_volume(variant.volume(), None::<RemoveVolumeOptions>).await {
            Ok(()) => removed.push(format!("the volume {}", variant.volume())),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
            Err(error) => return Err(explain(format!("remove the volume {}", variant.volume()))(error)),
        }
        // The other variant may be on it; then it stays.
        if self.docker.remove_network(NETWORK).await.is_ok() {
            removed.push(format!("the network {NETWORK}"));
        }
        if self.remove_image(variant).await? {
            removed.push(format!("the image {}", variant.image()));
        }
        self.remove_nameless_images().await?;
        Ok(removed)
    }

    /// What a container printed; with `follow`, also what it is yet to print, until it ends.
    pub fn logs(
        &self,
        variant: Variant,
        tail: Option<usize>,
        follow: bool,
    ) -> impl Stream<Item = Result<LogPiece, DockerError>> + Unpin + '_ {
        let tail = tail.map_or_else(|| "all".into(), |lines| lines.to_string());
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).follow(follow).tail(&tail).build();
        let pieces = self.docker.logs(variant.container(), Some(options));
        pieces
            .map(move |piece| match piece {
                Ok(LogOutput::StdErr { message }) => Ok(LogPiece { is_error: true, bytes: message }),
                Ok(other) => Ok(LogPiece { is_error: false, bytes: other.into_bytes() }),
                Err(error) => Err(no_such(variant, "read the log of", error)),
            })
            .boxed()
    }

    /// What a container uses, about once a second.
    pub fn usage(&self, variant: Variant) -> impl Stream<Item = Result<Usage, DockerError>> + Unpin + '_ {
        let options = StatsOptionsBuilder::new().stream(true).build();
        let samples = self.docker.stats(variant.container(), Some(options));
        samples
            .map(move |sample| match sample {
                Ok(sample) => Ok(Usage::new(&sample)),
                Err(error) => Err(no_such(variant, "measure", error)),
            })
            .boxed()
    }

    /// The token of the runtime in a container, with which local programs outside of it connect: its state folder is in a volume, and so is
    /// read from inside.
    ///
    /// # Errors
    /// When the container is missing or does not run, there is no token in it yet, or the engine refuses.
    pub async fn token(&self, variant: Variant) -> Result<String, DockerError> {
        let refused = |error| match error {
            Error::DockerResponseServerError { status_code: 409, .. } => {
                DockerError::NotRunning { name: variant.container().into() }
            }
            error => no_such(variant, "read the token of", error),
        };
        let read = ["sh", "-c", r#"cat -- "$MHNOS_STATE_DIR/token""#].map(str::to_owned).into();
        let command = ExecConfig { cmd: Some(read), attach_stdout: Some(true), ..ExecConfig::default() };
        let exec = self.docker.create_exec(variant.container(), command).await.map_err(refused)?.id;
        let StartExecResults::Attached { mut output, .. } =
            self.docker.start_exec(&exec, None).await.map_err(refused)?
        else {
            return Err(DockerError::NoToken { name: variant.container().into() });
        };
        let mut token = String::new();
        while let Some(piece) = output.next().await {
            token.push_str(&String::from_utf8_lossy(&piece.map_err(refused)?.into_bytes()));
        }
        match token.trim() {
            "" => Err(DockerError::NoToken { name: variant.container().into() }),
            token => Ok(token.to_owned()),
        }
    }

    /// What happens to a container, in the engine's words: `start`, `die`, `health_status: healthy`…
    pub fn events(&self, variant: Variant) -> impl Stream<Item = Result<String, DockerError>> + Unpin + '_ {
        let filters = HashMap::from([("container", vec![variant.container()]), ("type", vec!["container"])]);
        let options = EventsOptionsBuilder::new().filters(&filters).build();
        let events = self.docker.events(Some(options));
        events
            .map(|event| {
                let EventMessage { action, .. } = event.map_err(explain("tell what happens"))?;
                Ok(action.unwrap_or_default())
            })
            .boxed()
    }
}

fn no_such(variant: Variant, doing: &str, error: Error) -> DockerError {
    match error {
        Error::DockerResponseServerError { status_code: 404, .. } => {
            DockerError::NoContainer { name: variant.container().into() }
        }
        error => explain(format!("{doing} {}", variant.container()))(error),
    }
}

fn label(found: &ContainerInspectResponse) -> Option<&str> {
    found.config.as_ref()?.labels.as_ref()?.get(SPEC_LABEL).map(String::as_str)
}

/// Whether an image's name is one of ours, with any tag.
fn is_runtime(image: &str) -> bool {
    image.split_once(':').map_or(image, |(name, _)| name) == "mhnos/runtime"
}

fn describe(variant: Variant, found: &ContainerInspectResponse) -> Container {
    let state = found.state.as_ref();
    let running = state.and_then(|state| state.running).unwrap_or(false);
    let ports = found.network_settings.as_ref().and_then(|settings| settings.ports.as_ref());
    let ports = ports.into_iter().flat_map(|ports| ports.values().flatten().flatten());
    let mut ports: Vec<u16> = ports.filter_map(|binding| binding.host_port.as_ref()?.parse().ok()).collect();
    ports.sort_unstable();
    ports.dedup();
    let workspace = |mount: &MountPoint| {
        let is_workspace = mount.destination.as_deref() == Some("/workspace");
        is_workspace.then(|| mount.source.clone()).flatten()
    };
    let health = state.and_then(|state| state.health.as_ref()?.status.as_ref()).map(ToString::to_string);
    let text = |text: Option<&String>| text.filter(|text| !text.is_empty()).map(|text| one_line(text));
    Container {
        name: variant.container().into(),
        id: found.id.clone().unwrap_or_default(),
        image: found.config.as_ref().and_then(|config| config.image.clone()).unwrap_or_default(),
        running,
        state: state.and_then(|state| state.status.as_ref()).map(ToString::to_string).unwrap_or_default(),
        health: health.filter(|health| !health.is_empty() && health != "none"),
        exit_code: state.filter(|_| !running).and_then(|state| state.exit_code),
        error: text(state.and_then(|state| state.error.as_ref())),
        started_at: text(state.and_then(|state| state.started_at.as_ref())),
        ports,
        workspace: found.mounts.iter().flatten().find_map(workspace),
        is_ours: label(found).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::is_runtime;

    #[test]
    fn only_our_images_are_ours() {
        assert!(is_runtime("mhnos/runtime") && is_runtime("mhnos/runtime:openclaw"));
        assert!(
            !is_runtime("postgres:16") && !is_runtime("mhnos/other") && !is_runtime("evil/mhnos/runtime")
        );
    }
}
