//! What can go wrong with an engine, in sentences that say what to do next.

use bollard::errors::Error;

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DockerError {
    /// Nobody listens anywhere.
    #[error(
        "no container engine is running here (looked at: {}): install Docker or Podman and start it, or name one with DOCKER_HOST",
        looked_at.join(", ")
    )]
    NoEngine {
        /// The places.
        looked_at: Vec<String>,
    },
    /// Somebody listens, for others.
    #[error(
        "the engine at {address} is not yours to use: add yourself to its group (sudo usermod -aG docker $USER, then log in again), \
         or use an engine without root"
    )]
    NotAllowed {
        /// Where.
        address: String,
    },
    /// Nobody listens where one was named.
    #[error("the engine at {address} does not answer ({reason}): start it, or name another with DOCKER_HOST")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        reason: String,
    },
    /// An address of a kind that is not spoken to.
    #[error(
        "the engine at {address} cannot be used, because {reason}: name one on this machine with DOCKER_HOST=unix:///path/of/its.sock"
    )]
    Unsupported {
        /// As it was named.
        address: String,
        /// Why.
        reason: &'static str,
    },
    /// A context that is not there.
    #[error(
        "Docker's configuration has no context {name}: `docker context ls` lists them, DOCKER_CONTEXT or `docker context use` choose one"
    )]
    NoContext {
        /// Its name.
        name: String,
    },
    /// The engine went away.
    #[error(
        "the engine stopped answering while it was to {doing}: start it, then run this again; what runs in containers may have ended"
    )]
    Lost {
        /// What was being done.
        doing: String,
    },
    /// The image is not there.
    #[error("the image {image} is not there: make it with `mhnos-runtime docker build`")]
    NoImage {
        /// Its name.
        image: String,
    },
    /// An image to build on is neither there nor to be had.
    #[error(
        "an image this one is built on could not be fetched ({reason}): check the connection to the network, or fetch it by hand with `docker pull`"
    )]
    NoBaseImage {
        /// What the engine said.
        reason: String,
    },
    /// A step of the build failed.
    #[error("the image could not be built: {reason}")]
    Build {
        /// What the engine said, with what to do where that is known.
        reason: String,
    },
    /// The port is taken.
    #[error("port {port} is taken{holder}: stop that program, or choose another port with --port")]
    PortTaken {
        /// Which.
        port: u16,
        /// By whom, where it is known; begins with a space.
        holder: String,
    },
    /// No room.
    #[error(
        "the engine's disk is full: make room (`docker system df` shows what takes it, `docker system prune` frees what nothing uses), then run this again"
    )]
    DiskFull,
    /// There is no container.
    #[error("there is no container {name}: start one with `mhnos-runtime docker up`")]
    NoContainer {
        /// Its name.
        name: String,
    },
    /// The container does not run.
    #[error("the container {name} does not run: start it with `mhnos-runtime docker up`")]
    NotRunning {
        /// Its name.
        name: String,
    },
    /// The runtime in it has no token to show.
    #[error(
        "the container {name} has no token yet: `mhnos-runtime docker logs` says whether the runtime in it started"
    )]
    NoToken {
        /// Its name.
        name: String,
    },
    /// Somebody else's container has the name.
    #[error(
        "the container {name} is of the image {image}, and not a runtime: rename it (`docker rename {name} other`) or remove it"
    )]
    NotOurs {
        /// Its name.
        name: String,
        /// Its image.
        image: String,
    },
    /// The workspace would give programs the engine, and with it this machine.
    #[error(
        "{workspace} cannot be the workspace, because the engine's socket {socket} is in it: programs in the container could do \
         everything on this machine. Name another folder with --workspace"
    )]
    HoldsSocket {
        /// The folder.
        workspace: String,
        /// The socket.
        socket: String,
    },
    /// Anything else.
    #[error("the engine could not {doing}: {reason}")]
    Refused {
        /// What was being done.
        doing: String,
        /// What the engine said.
        reason: String,
    },
}

/// What an error of the interface means, while doing this.
pub(crate) fn explain(doing: impl Into<String>) -> impl FnOnce(Error) -> DockerError {
    let doing = doing.into();
    move |error| match error {
        Error::DockerResponseServerError { message, .. } | Error::DockerStreamError { error: message } => {
            said(doing, message)
        }
        Error::IOError { .. }
        | Error::HyperResponseError { .. }
        | Error::HyperLegacyError { .. }
        | Error::RequestTimeoutError
        | Error::SocketNotFoundError(_) => DockerError::Lost { doing },
        other => DockerError::Refused { doing, reason: other.to_string() },
    }
}

/// What a sentence of the engine's means. It has no codes for these.
pub(crate) fn said(doing: String, message: String) -> DockerError {
    let has = |text: &str| message.to_ascii_lowercase().contains(text);
    if has("no space left on device") || has("disk quota exceeded") {
        return DockerError::DiskFull;
    }
    if has("port is already allocated") || has("address already in use") {
        return DockerError::PortTaken { port: port_in(&message).unwrap_or_default(), holder: String::new() };
    }
    DockerError::Refused { doing, reason: one_line(&message) }
}

/// The port in `... 127.0.0.1:18790 ...`: the last number behind a colon.
fn port_in(message: &str) -> Option<u16> {
    let numbers = message.split(|character: char| !character.is_ascii_digit() && character != ':');
    numbers.filter_map(|word| word.trim_end_matches(':').rsplit_once(':')?.1.parse().ok()).next_back()
}

/// A message as part of a sentence.
pub(crate) fn one_line(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().collect();
    words.join(" ").trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_engines_say_is_understood() {
        let meaning = |message: &str| said("start it".into(), message.into());
        let taken = |port| DockerError::PortTaken { port, holder: String::new() };
        let allocated = "driver failed programming external connectivity on endpoint x (1f:2e): Bind for 127.0.0.1:18790 failed: port is already allocated";
        assert_eq!(meaning(allocated), taken(18790));
        let in_use =
            "Error starting userland proxy: listen tcp4 127.0.0.1:18791: bind: address already in use";
        assert_eq!(meaning(in_use), taken(18791));
        assert_eq!(meaning("write /x: no space left on device"), DockerError::DiskFull);
        let other = meaning("invalid\n reference.").to_string();
        assert_eq!(other, "the engine could not start it: invalid reference");
    }

    #[test]
    fn an_engine_that_goes_away_is_no_riddle() {
        let lost = explain("build the image")(Error::RequestTimeoutError).to_string();
        assert!(lost.contains("stopped answering") && lost.contains("run this again"), "{lost}");
    }
}
