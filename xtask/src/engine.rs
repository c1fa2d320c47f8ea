//! A container engine for the tests, with the images they build on.
//!
//! An engine that runs already is used, if it has nothing of the runtime's in it that the tests would take away, and if it has the base
//! images or can fetch them. Where none runs, on Linux and as root, Debian's is installed and a private one is started ([`private`]). No
//! registry of images is needed for it: stand-ins for the base images are made from Debian's packages, and from the Node and the Rust that
//! the other tests use, under the very names the Dockerfile has, and kept in the person's cache ([`stand_in`]).
//!
//! Where none of this is possible there is no engine, and a sentence why: that is not a failure. Everything here is bounded in time.

mod private;
mod stand_in;

use crate::failure::Result;
use crate::program;
use crate::setup::Tools;
use private::Private;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// What the Dockerfile's last stage is built on.
const NODE_IMAGE: &str = "node:24-bookworm-slim";

/// What the Dockerfile compiles with.
const RUST_IMAGE: &str = "rust:1.95-slim-bookworm";

/// Seconds for what needs the network or a slow disk.
const PATIENCE: &str = "300";

/// An engine; our own ends with this value.
pub(crate) struct Engine {
    own: Option<Private>,
}

/// Why there is no engine: to be shown, not to fail for.
pub(crate) type Absent = String;

impl Engine {
    /// Finds or starts one.
    pub(crate) fn ready(tools: &Tools) -> std::result::Result<Self, Absent> {
        if docker(None, &["version"]) {
            return existing().map(|()| Self { own: None });
        }
        let is_root = fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0);
        if !is_root {
            return Err("no container engine runs here, and starting one needs root".into());
        }
        match Private::with_images(tools) {
            Ok(own) => Ok(Self { own: Some(own) }),
            Err(failure) => Err(format!("no container engine could be had: {failure}")),
        }
    }

    /// What the tests need to know of it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        self.own.as_ref().map(Private::environment).unwrap_or_default()
    }
}

/// Whether the engine that runs here can be used, or why not.
fn existing() -> std::result::Result<(), Absent> {
    let lists = [
        ["ps", "--all", "--quiet", "--filter", "name=mhnos-runtime"].as_slice(),
        &["volume", "ls", "--quiet", "--filter", "name=mhnos-runtime"],
        &["images", "--quiet", "mhnos/runtime"],
    ];
    for list in lists {
        let found =
            program::output(Command::new("docker").args(list)).map_err(|failure| failure.to_string())?;
        if !found.trim().is_empty() {
            return Err(
                "the engine here has containers, volumes or images of mhnos-runtime, which the tests would remove: remove them \
                 yourself (mhnos-runtime docker down, for both variants)"
                    .into(),
            );
        }
    }
    for image in [NODE_IMAGE, RUST_IMAGE] {
        if !docker(None, &["image", "inspect", image]) && !docker(None, &["pull", "--quiet", image]) {
            return Err(format!("the engine here has no image {image} and cannot fetch it"));
        }
    }
    if !docker(None, &["compose", "version"]) && program::find("docker-compose").is_none() {
        return Err("there is no docker compose here: install Debian's docker-compose".into());
    }
    Ok(())
}

/// Whether a command of the engine's own client succeeds, in time.
fn docker(host: Option<&str>, arguments: &[&str]) -> bool {
    let mut command = Command::new("timeout");
    command.args([PATIENCE, "docker"]).args(arguments);
    if let Some(host) = host {
        command.env("DOCKER_HOST", host);
    }
    program::succeeds(&mut command)
}

/// A command that must succeed within [`PATIENCE`].
fn bounded(program: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.arg(PATIENCE).arg(program);
    command
}

/// Runs a command that must succeed within [`PATIENCE`].
fn run(program: &str, arguments: &[&str]) -> Result<()> {
    program::run(bounded(Path::new(program)).args(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stand_ins_have_the_names_of_the_dockerfile() {
        let dockerfile = include_str!("../../docker/Dockerfile");
        for default in [format!("ARG NODE_IMAGE={NODE_IMAGE}\n"), format!("ARG RUST_IMAGE={RUST_IMAGE}\n")] {
            assert!(dockerfile.contains(&default), "{default}");
        }
    }
}
