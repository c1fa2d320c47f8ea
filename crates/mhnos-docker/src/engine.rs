//! A connection to an engine.

use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};

use crate::about::About;
use crate::error::{DockerError, explain};
use crate::find::{self, Address, Found};

/// Seconds an engine may take to begin to answer. Making a container on a slow disk takes some.
const ANSWER_SECONDS: u64 = 120;

/// How long an engine may take for its first answer: one that hangs is as good as none.
const GREETING_TIME: Duration = Duration::from_secs(10);

/// An engine that answered.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) docker: Docker,
    found: Found,
    processors: u32,
}

impl Engine {
    /// Finds the engine of this machine and connects to it.
    ///
    /// # Errors
    /// When there is none, or it does not answer.
    pub async fn find() -> Result<Self, DockerError> {
        Self::connect(find::find()?).await
    }

    /// Connects to an engine, and agrees with it on a version of the interface.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn connect(found: Found) -> Result<Self, DockerError> {
        let address = found.address.to_string();
        let unreachable = |reason: String| DockerError::Unreachable { address: address.clone(), reason };
        if let Address::Socket(path) = &found.address {
            // The interface would say no more than that the client failed.
            match tokio::net::UnixStream::connect(path).await {
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                    return Err(DockerError::NotAllowed { address });
                }
                Err(error) => {
                    return Err(unreachable(match error.kind() {
                        std::io::ErrorKind::NotFound => "there is no such socket".into(),
                        std::io::ErrorKind::ConnectionRefused => "nobody listens there".into(),
                        _ => error.to_string(),
                    }));
                }
                Ok(_) => {}
            }
        }
        let docker = match &found.address {
            Address::Socket(_) => Docker::connect_with_unix(&address, ANSWER_SECONDS, API_DEFAULT_VERSION),
            Address::Tcp(_) => Docker::connect_with_http(&address, ANSWER_SECONDS, API_DEFAULT_VERSION),
        };
        let greeting = async {
            let docker = docker?.negotiate_version().await?;
            let processors = docker.info().await?.ncpu;
            Ok((docker, processors))
        };
        match tokio::time::timeout(GREETING_TIME, greeting).await {
            Ok(Ok((docker, processors))) => {
                let processors = processors.and_then(|number| u32::try_from(number).ok()).unwrap_or(1);
                Ok(Self { docker, found, processors })
            }
            Ok(Err::<_, bollard::errors::Error>(error)) => Err(unreachable(error.to_string())),
            Err(_) => Err(unreachable(format!("no answer within {} s", GREETING_TIME.as_secs()))),
        }
    }

    /// Where it is, and why it was taken.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// Its processors.
    pub(crate) fn processors(&self) -> u32 {
        self.processors
    }

    /// What it is, and what is to be said of it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn about(&self) -> Result<About, DockerError> {
        let version = self.docker.version().await.map_err(explain("say its version"))?;
        let info = self.docker.info().await.map_err(explain("describe itself"))?;
        Ok(About::new(&version, &info, &self.found.address))
    }
}
