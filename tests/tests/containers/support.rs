//! The engine, what is in it, and runtimes in it.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mhnos_tests::command::Said;
use mhnos_tests::{ORIGIN, http, runtime_program, v1, v2, within};
use serde_json::Value;
use tempfile::TempDir;

/// The containers' names.
pub(crate) const NAMES: [&str; 2] = ["mhnos-runtime", "mhnos-runtime-openclaw"];

/// The images' names, and those that keep them when a test removes them.
const IMAGES: [(&str, &str); 2] =
    [("mhnos/runtime:latest", "mhnos-kept:usual"), ("mhnos/runtime:openclaw", "mhnos-kept:openclaw")];

/// Who the workspace belongs to where the tests run as root.
pub(crate) const PERSON: u32 = 1000;

/// A command, without the settings of whoever runs the tests.
fn bare(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MHNOS_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

fn said(mut command: Command) -> Said {
    command.output().expect("the program can be executed").into()
}

async fn in_time(what: &str, command: Command) -> Said {
    let output = tokio::task::spawn_blocking(move || said(command));
    // Making an image can take longer than anything else here.
    match tokio::time::timeout(std::time::Duration::from_secs(150), output).await {
        Ok(said) => said.unwrap(),
        Err(_) => panic!("{what} does not end"),
    }
}

/// Docker's own client.
pub(crate) async fn docker(words: &[&str]) -> Said {
    let mut command = bare("docker");
    command.args(words);
    in_time(&format!("docker {words:?}"), command).await
}

/// The command line under test, not started yet.
pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = bare(runtime_program());
    command.arg("docker").args(words);
    command
}

/// `mhnos-runtime docker` with these words.
pub(crate) async fn cli(words: &[&str]) -> Said {
    in_time(&format!("mhnos-runtime docker {words:?}"), command(words)).await
}

/// The last of the JSON lines that a command prints.
pub(crate) fn last_line(said: Said) -> Value {
    let text = said.done();
    serde_json::from_str(text.lines().last().expect("it prints something")).expect("it prints JSON")
}

/// Why a command did not do its work.
pub(crate) fn refusal(said: Said) -> String {
    assert_ne!(said.code, Some(0), "it was done: {}", said.stdout);
    assert!(said.stderr.lines().any(|line| line.starts_with("mhnos-runtime: ")), "{said:?}");
    said.stderr
}

/// A port that is free on both loopback addresses.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The folder of an engine that is the tests' own, which they may stop and fill.
pub(crate) fn private_engine() -> Option<PathBuf> {
    std::env::var_os("MHNOS_TEST_ENGINE_FOLDER").map(PathBuf::from)
}

/// None of the containers, and both images: now, and again at the end.
pub(crate) struct Clean(());

impl Clean {
    pub(crate) fn new() -> Self {
        clean();
        Self(())
    }
}

impl Drop for Clean {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in NAMES {
                let log = quiet(&["logs", "--tail", "40", name]);
                eprintln!("--- log of {name} ---\n{}{}---", log.stdout, log.stderr);
            }
        }
        clean();
    }
}

fn quiet(words: &[&str]) -> Said {
    let mut command = bare("docker");
    command.args(words);
    said(command)
}

fn clean() {
    quiet(&[["rm", "--force", "--volumes"].as_slice(), &NAMES].concat());
    let volumes = NAMES.map(|name| format!("{name}-state"));
    quiet(&["volume", "rm", "--force", &volumes[0], &volumes[1], "mhnos-workspace"]);
    quiet(&["network", "rm", "mhnos-runtime"]);
    for (image, kept) in IMAGES {
        // Whichever of the two there is, is the other too.
        if quiet(&["tag", image, kept]).code != Some(0) {
            quiet(&["tag", kept, image]);
        }
    }
}

/// A folder for a workspace, which belongs to a person also where root runs the tests.
pub(crate) fn workspace() -> TempDir {
    let folder = tempfile::Builder::new().prefix("mhnos-workspace-").tempdir().unwrap();
    give_to_person(folder.path());
    folder
}

/// Makes a folder of root's a person's.
pub(crate) fn give_to_person(folder: &Path) {
    if folder.metadata().unwrap().uid() == 0 {
        chown(folder, Some(PERSON), Some(PERSON)).unwrap();
    }
}

/// A runtime in a container, made by `docker up`.
pub(crate) struct Up {
    pub(crate) port: u16,
    pub(crate) name: &'static str,
    folder: TempDir,
    _clean: Clean,
}

impl Up {
    /// The usual one, which lets [`ORIGIN`] in.
    pub(crate) async fn new() -> Self {
        Self::with(&["--allow-origin", ORIGIN]).await
    }

    /// The one with OpenClaw, which lets [`ORIGIN`] in.
    pub(crate) async fn openclaw() -> Self {
        Self { name: NAMES[1], ..Self::with(&["--allow-origin", ORIGIN, "--variant", "openclaw"]).await }
    }

    /// With further words.
    pub(crate) async fn with(words: &[&str]) -> Self {
        let up = Self { port: free_port(), name: NAMES[0], folder: workspace(), _clean: Clean::new() };
        up.again(words).await.done();
        up
    }

    /// The same command once more, with other words.
    pub(crate) async fn again(&self, words: &[&str]) -> Said {
        let (port, workspace) = (self.port.to_string(), self.workspace().display().to_string());
        cli(&[&["up", "--port", &port, "--workspace", &workspace], words].concat()).await
    }

    pub(crate) fn workspace(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        std::fs::write(self.workspace().join(path), content).unwrap();
    }

    pub(crate) async fn page(&self) -> v1::Client {
        v1::Client::connect_to(self.port, ("origin", ORIGIN)).await
    }

    pub(crate) async fn page2(&self) -> v2::Client {
        v2::Client::connect_to(self.port, ("origin", ORIGIN)).await
    }

    /// What a script prints that runs in the container, beside the runtime.
    pub(crate) async fn inside(&self, script: &str) -> String {
        docker(&["exec", self.name, "sh", "-c", script]).await.done()
    }
}

/// What `/health` answers.
pub(crate) async fn health(port: u16) -> Value {
    let request = format!("GET /health HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
    let answer = within("health", http::exchange(port, request)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

/// Waits until a runtime answers at this port.
pub(crate) async fn until_healthy(port: u16) {
    within("the runtime answers", async {
        let request = format!("GET /health HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
        loop {
            // The engine takes connections for the port before anybody listens behind it.
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
                && http::exchange(port, &request).await.status == 200
            {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// The field of what the engine says of a container.
pub(crate) async fn inspect(name: &str) -> Value {
    docker(&["inspect", name]).await.json()[0].take()
}

/// Whether the engine has something of this kind and name.
pub(crate) async fn exists(kind: &str, name: &str) -> bool {
    docker(&[kind, "inspect", name]).await.code == Some(0)
}
