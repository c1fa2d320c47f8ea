//! A private engine: Debian's `dockerd`, with everything it keeps in a folder of its own and its images in memory.
//!
//! In memory, because that is fast, and because its size can be set: so the tests can fill the engine's disk without filling anybody
//! else's. The tests stop and start this engine too, so it is known by the file its number is in, and not as our child.

use super::{NODE_IMAGE, RUST_IMAGE, docker, run, stand_in};
use crate::failure::{Failure, Result};
use crate::program;
use crate::setup::{self, Tools};
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What its images, containers and volumes may take. Filled only as far as they do.
const SIZE: &str = "size=10g,mode=711";

/// The name of a folder before the number of the process it belongs to.
const PREFIX: &str = "mhnos-engine-";

/// How long an engine takes to start or to stop, at most.
const ENGINE_TIME: Duration = Duration::from_secs(40);

const PAUSE: Duration = Duration::from_millis(50);

/// The bridge that every engine makes, and leaves behind.
const BRIDGE: &str = "/sys/class/net/docker0";

/// An engine, which ends with this value.
pub(super) struct Private {
    folder: PathBuf,
    /// As it was started here; the tests may have started it anew.
    child: Child,
    had_bridge: bool,
}

impl Private {
    /// Starts one that has the base images.
    pub(super) fn with_images(tools: &Tools) -> Result<Self> {
        setup::for_containers()?;
        let images = [
            (NODE_IMAGE, stand_in::node(tools)?, [].as_slice()),
            (RUST_IMAGE, stand_in::rust()?, &stand_in::COMPILES_QUICKLY),
        ];
        let engine = Self::start()?;
        for (name, archive, further) in images {
            let archive = archive.display().to_string();
            let mut import = vec!["import"];
            let changes = stand_in::CONFIGURATION.iter().chain(further);
            import.extend(changes.flat_map(|change| ["--change", change]));
            import.extend([archive.as_str(), name]);
            if !docker(Some(&engine.host()), &import) {
                return Err(Failure::Explained(format!("the engine did not take the image {archive}")));
            }
        }
        Ok(engine)
    }

    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        let folder = self.folder.display().to_string();
        vec![("DOCKER_HOST", self.host()), ("MHNOS_TEST_ENGINE_FOLDER", folder)]
    }

    fn host(&self) -> String {
        format!("unix://{}", self.folder.join("docker.sock").display())
    }

    fn start() -> Result<Self> {
        remove_left_behind();
        // A socket's path is short, and so is this.
        let folder = env::temp_dir().join(format!("{PREFIX}{}", std::process::id()));
        let data = folder.join("data");
        fs::create_dir_all(&data).map_err(Failure::file("create", &data))?;
        run("mount", &["-t", "tmpfs", "-o", SIZE, "mhnos-engine", &data.display().to_string()])?;
        let log = folder.join("log");
        let output = File::create(&log).map_err(Failure::file("create", &log))?;
        let errors = output.try_clone().map_err(Failure::file("open", &log))?;
        let mut command = Command::new("dockerd");
        command.arg("--host").arg(format!("unix://{}", folder.join("docker.sock").display()));
        for (flag, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            command.arg(flag).arg(folder.join(name));
        }
        // Not on our own output: who reads that waits for its end.
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        println!("$ {}", program::command_line(&command));
        let had_bridge = Path::new(BRIDGE).exists();
        let child = command.spawn().map_err(|source| program::not_started(&command, source))?;
        let mut engine = Self { folder, child, had_bridge };
        let began = Instant::now();
        while !docker(Some(&engine.host()), &["version"]) {
            let ended = !matches!(engine.child.try_wait(), Ok(None));
            if ended || began.elapsed() > ENGINE_TIME {
                let said = fs::read_to_string(&log).unwrap_or_default();
                let last = said.lines().last().unwrap_or("nothing").to_owned();
                return Err(Failure::Explained(format!("dockerd did not start; it said last: {last}")));
            }
            thread::sleep(PAUSE);
        }
        Ok(engine)
    }

    /// Ends a process whose number a file holds, and waits for it. It may be another than the one we started.
    fn end(&mut self, file: &str) {
        let Ok(number) = fs::read_to_string(self.folder.join(file)) else { return };
        let number = number.trim();
        let process = Path::new("/proc").join(number);
        let began = Instant::now();
        let mut signal = "-TERM";
        program::succeeds(Command::new("kill").args([signal, number]));
        while process.exists()
            && !matches!(self.child.try_wait(), Ok(Some(_)) if is_child(&self.child, number))
        {
            if began.elapsed() > ENGINE_TIME && signal == "-TERM" {
                signal = "-KILL";
                program::succeeds(Command::new("kill").args([signal, number]));
            }
            if began.elapsed() > ENGINE_TIME * 2 {
                println!("process {number} of the engine does not end");
                return;
            }
            thread::sleep(PAUSE);
        }
    }
}

fn is_child(child: &Child, number: &str) -> bool {
    child.id().to_string() == number
}

impl Drop for Private {
    fn drop(&mut self) {
        // The engine stops its containers first, which a kill would leave behind; and then what it runs them with.
        self.end("pid");
        self.end("exec/containerd/containerd.pid");
        let _ = self.child.wait();
        if !self.had_bridge {
            program::succeeds(Command::new("ip").args(["link", "delete", "docker0"]));
        }
        remove(&self.folder);
    }
}

/// Removes what runs that were killed have left: it is in memory.
fn remove_left_behind() {
    for entry in fs::read_dir(env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.strip_prefix(PREFIX).is_some_and(|number| !Path::new("/proc").join(number).exists()) {
            remove(&entry.path());
        }
    }
}

fn remove(folder: &Path) {
    // What a container that was killed had mounted is below it.
    program::succeeds(Command::new("umount").args(["--recursive"]).arg(folder.join("data")));
    if let Err(error) = fs::remove_dir_all(folder) {
        println!("could not remove {}: {error}", folder.display());
    }
}
