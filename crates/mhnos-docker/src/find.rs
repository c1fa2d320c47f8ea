//! Where an engine listens, and why that one is taken.
//!
//! What a person said comes first, in the order Docker's own command line has: `DOCKER_HOST`, `DOCKER_CONTEXT`, the current context of its
//! configuration. What was said is taken or fails; nothing else is tried in its place. Only where nothing was said are the usual places
//! looked through, and the first is taken where somebody listens.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tinyjson::JsonValue;

use crate::error::DockerError;

/// What the search looks at, so that a test can show it another machine.
pub struct Surroundings<'a> {
    /// Environment variables.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The person's home.
    pub home: Option<PathBuf>,
    /// In place of `/`, for the places of the system.
    pub root: PathBuf,
}

/// An engine's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Socket(PathBuf),
    /// `host:port`, without encryption.
    Tcp(String),
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(formatter, "unix://{}", path.display()),
            Self::Tcp(address) => write!(formatter, "tcp://{address}"),
        }
    }
}

/// An engine that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it listens.
    pub address: Address,
    /// Why this one, as it follows on "because".
    pub reason: String,
}

/// Looks around on this machine.
///
/// # Errors
/// When there is none, or the one that was named cannot be used.
pub fn find() -> Result<Found, DockerError> {
    find_in(&Surroundings {
        variable: &|name| std::env::var(name).ok().filter(|value| !value.is_empty()),
        home: std::env::home_dir(),
        root: "/".into(),
    })
}

/// As [`find`], with these surroundings.
///
/// # Errors
/// As [`find`].
pub fn find_in(around: &Surroundings<'_>) -> Result<Found, DockerError> {
    if let Some(host) = (around.variable)("DOCKER_HOST") {
        return Ok(Found { address: understood(&host)?, reason: "DOCKER_HOST names it".into() });
    }
    if let Some(found) = context(around)? {
        return Ok(found);
    }
    let mut looked_at = Vec::new();
    let mut closed = None;
    for (what, path) in usual_places(around) {
        let place = format!("{what} ({})", path.display());
        match UnixStream::connect(&path) {
            Ok(_) => {
                let reason = match looked_at.is_empty() {
                    true => format!("it listens where {what} does"),
                    false => format!("it is the first that listens: {what}"),
                };
                return Ok(Found { address: Address::Socket(path), reason });
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => closed = closed.or(Some(path)),
            Err(_) => {}
        }
        looked_at.push(place);
    }
    Err(match closed {
        Some(path) => DockerError::NotAllowed { address: Address::Socket(path).to_string() },
        None => DockerError::NoEngine { looked_at },
    })
}

/// Sockets of the engines there are, in the order they are tried.
fn usual_places(around: &Surroundings<'_>) -> Vec<(&'static str, PathBuf)> {
    let runtime = (around.variable)("XDG_RUNTIME_DIR").map(PathBuf::from);
    let in_runtime = |path: &str| runtime.as_ref().map(|folder| folder.join(path));
    let in_home = |path: &str| around.home.as_ref().map(|folder| folder.join(path));
    let in_system = |path: &str| Some(around.root.join(path));
    let places = [
        ("Docker", in_system("var/run/docker.sock")),
        ("Docker without root", in_runtime("docker.sock")),
        ("Docker Desktop", in_home(".docker/run/docker.sock")),
        ("Docker Desktop on Linux", in_home(".docker/desktop/docker.sock")),
        ("Podman without root", in_runtime("podman/podman.sock")),
        ("Podman", in_system("run/podman/podman.sock")),
        ("Colima", in_home(".colima/default/docker.sock")),
    ];
    places.into_iter().filter_map(|(what, path)| Some((what, path?))).collect()
}

/// The engine of the context that was chosen; `None` where that is the default one, or none was.
fn context(around: &Surroundings<'_>) -> Result<Option<Found>, DockerError> {
    let Some(folder) = (around.variable)("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| Some(around.home.as_ref()?.join(".docker")))
    else {
        return Ok(None);
    };
    let chosen = (around.variable)("DOCKER_CONTEXT").map(|name| (name, "DOCKER_CONTEXT names its context"));
    let current = || {
        let name = text_at(&read(&folder.join("config.json"))?, &["currentContext"])?;
        Some((name, "it is that of the current context"))
    };
    let Some((name, why)) = chosen.or_else(current).filter(|(name, _)| !name.is_empty() && name != "default")
    else {
        return Ok(None);
    };
    let host =
        host_of_context(&folder, &name).ok_or_else(|| DockerError::NoContext { name: name.clone() })?;
    Ok(Some(Found { address: understood(&host)?, reason: format!("{why}, {name}") }))
}

/// Contexts are kept in folders that are named after a hash of their name; each says its name inside.
fn host_of_context(folder: &Path, name: &str) -> Option<String> {
    let folders = fs::read_dir(folder.join("contexts/meta")).ok()?.flatten();
    folders
        .filter_map(|entry| read(&entry.path().join("meta.json")))
        .find(|meta| text_at(meta, &["Name"]).as_deref() == Some(name))
        .and_then(|meta| text_at(&meta, &["Endpoints", "docker", "Host"]))
}

fn read(file: &Path) -> Option<JsonValue> {
    fs::read_to_string(file).ok()?.parse().ok()
}

fn text_at(document: &JsonValue, path: &[&str]) -> Option<String> {
    let mut value = document;
    for key in path {
        value = value.get::<std::collections::HashMap<String, JsonValue>>()?.get(*key)?;
    }
    value.get::<String>().cloned()
}

/// The address in a value of `DOCKER_HOST`.
fn understood(host: &str) -> Result<Address, DockerError> {
    let unsupported = |reason| Err(DockerError::Unsupported { address: host.to_owned(), reason });
    match host.split_once("://") {
        Some(("unix", path)) if !path.is_empty() => Ok(Address::Socket(path.into())),
        Some(("tcp" | "http", address)) if address.ends_with(":2376") => {
            unsupported("engines that ask for a certificate are not spoken to")
        }
        Some(("tcp" | "http", address)) if !address.is_empty() => Ok(Address::Tcp(address.into())),
        Some(("ssh", _)) => unsupported("an engine behind SSH would not see this machine's folders"),
        _ => unsupported("it is not understood"),
    }
}

#[cfg(test)]
mod tests;
