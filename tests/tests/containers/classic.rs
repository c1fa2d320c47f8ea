//! The commands of old: `docker build`, `docker run`, `docker compose`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mhnos_tests::command::Said;
use mhnos_tests::{ORIGIN, http, v1, within};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    Clean, NAMES, docker, exists, free_port, give_to_person, health, inspect, until_healthy, workspace,
};

/// What the compose file started; it is taken down at the end.
pub(crate) struct Compose {
    usual: u16,
    openclaw: u16,
    folder: TempDir,
    _clean: Clean,
}

impl Compose {
    fn new() -> Self {
        let compose =
            Self { usual: free_port(), openclaw: free_port(), folder: workspace(), _clean: Clean::new() };
        std::fs::create_dir(compose.workspace()).unwrap();
        give_to_person(&compose.workspace());
        compose
    }

    /// In a folder with room for the other's, which stands beside it.
    fn workspace(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    /// `docker compose ... up -d`, with these words before `up`.
    pub(crate) async fn up(words: &[&str]) -> Self {
        let compose = Self::new();
        compose.run(&[words, &["up", "-d"]].concat()).await;
        until_healthy(compose.usual).await;
        if words.contains(&"openclaw") {
            until_healthy(compose.openclaw).await;
        }
        compose
    }

    pub(crate) fn owner(&self) -> u32 {
        self.workspace().metadata().unwrap().uid()
    }

    async fn run(&self, words: &[&str]) -> Said {
        let mut command = self.command(words);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = Said::from(output);
        assert_eq!(said.code, Some(0), "docker compose {words:?}: {}{}", said.stdout, said.stderr);
        said
    }

    fn command(&self, words: &[&str]) -> Command {
        let has_plugin =
            Command::new("docker").args(["compose", "version"]).output().unwrap().status.success();
        let mut command = if has_plugin { Command::new("docker") } else { Command::new("docker-compose") };
        if has_plugin {
            command.arg("compose");
        }
        let owner = self.workspace().metadata().unwrap();
        command
            .args(["-f", "docker/docker-compose.yml"])
            .args(words)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap())
            .env("MHNOS_WORKSPACE", self.workspace())
            .env("MHNOS_UID", owner.uid().to_string())
            .env("MHNOS_GID", owner.gid().to_string())
            .env("MHNOS_RUNTIME_PORT", self.usual.to_string())
            .env("MHNOS_OPENCLAW_PORT", self.openclaw.to_string())
            .env("MHNOS_ALLOWED_ORIGINS", ORIGIN);
        command
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        let _ = self.command(&["--profile", "openclaw", "down", "--volumes"]).output();
    }
}

#[tokio::test]
async fn compose_up_serves_a_page_and_down_leaves_the_workspace() {
    let compose = Compose::up(&[]).await;
    assert!(!exists("container", NAMES[1]).await, "OpenClaw only where it is asked for");
    let mut page = v1::Client::connect_to(compose.usual, ("origin", ORIGIN)).await;
    let results = page.push(json!([{"path": "/a.txt", "kind": "file", "content": [97], "mtime": 0}])).await;
    assert_eq!(results["failed"], 0);
    let file = compose.workspace().join("a.txt");
    assert_eq!(std::fs::read(&file).unwrap(), b"a");
    assert_eq!(file.metadata().unwrap().uid(), compose.owner());
    // The console's address is one of this machine, whatever port was chosen.
    let console = docker(&["exec", NAMES[0], "mhnos-runtime", "--json", "console", "--no-open"]).await.json();
    let address = format!("http://localhost:{}/#ticket=", compose.usual);
    assert!(console["url"].as_str().unwrap().starts_with(&address), "{console}");
    compose.run(&["down", "--volumes"]).await;
    for (kind, name) in
        [("container", NAMES[0]), ("volume", "mhnos-runtime-state"), ("network", "mhnos-runtime")]
    {
        assert!(!exists(kind, name).await, "{kind} {name}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"a");
}

#[tokio::test]
async fn compose_runs_openclaw_beside_the_usual_one_where_it_is_asked_for() {
    let compose = Compose::up(&["--profile", "openclaw"]).await;
    for (port, allowed) in [(compose.usual, false), (compose.openclaw, true)] {
        let page = v1::Client::connect_to(port, ("origin", ORIGIN)).await;
        assert_eq!(page.connected["config"]["allowOpenClaw"], allowed);
    }
    let (mut states, mut workspaces) = (Vec::new(), Vec::new());
    for name in NAMES {
        let mounts = inspect(name).await["Mounts"].clone();
        let find = |place: &str| {
            mounts.as_array().unwrap().iter().find(|mount| mount["Destination"] == place).unwrap().clone()
        };
        states.push(find("/var/lib/mhnos")["Name"].clone());
        workspaces.push(PathBuf::from(find("/workspace")["Source"].as_str().unwrap()));
    }
    assert_eq!(states, ["mhnos-runtime-state", "mhnos-runtime-openclaw-state"]);
    // One runtime keeps a folder the same as a page's disk: so each has one of its own.
    assert_eq!(workspaces, [compose.workspace(), compose.folder.path().join("workspace-openclaw")]);
    assert_eq!(workspaces[1].metadata().unwrap().uid(), compose.owner());
}

#[tokio::test]
async fn compose_gives_a_workspace_it_had_to_make_to_the_person() {
    let compose = Compose::new();
    let made = compose.folder.path().join("not-there-yet");
    let mut command = compose.command(&["up", "-d"]);
    command.env("MHNOS_WORKSPACE", &made);
    let said = Said::from(command.output().unwrap());
    assert_eq!(said.code, Some(0), "{said:?}");
    until_healthy(compose.usual).await;
    assert_eq!(made.metadata().unwrap().uid(), compose.owner());
    let mut page = v1::Client::connect_to(compose.usual, ("origin", ORIGIN)).await;
    let pid = page.bash("touch mine").await;
    assert_eq!(page.run(pid).await.exit["code"], 0);
    assert_eq!(made.join("mine").metadata().unwrap().uid(), compose.owner());
}

#[tokio::test]
async fn docker_run_with_a_volume_works_as_it_always_did() {
    let _clean = Clean::new();
    let port = free_port();
    let publish = format!("127.0.0.1:{port}:18790");
    docker(&[
        "run",
        "-d",
        "--name",
        NAMES[0],
        "-p",
        &publish,
        "-v",
        "mhnos-workspace:/workspace",
        "mhnos/runtime",
    ])
    .await
    .done();
    until_healthy(port).await;
    let body = health(port).await;
    assert_eq!(body["processes"], json!({"totalSpawned": 0, "totalKilled": 0, "active": 0}));
    docker(&["exec", NAMES[0], "mhnos-runtime", "origins", "allow", ORIGIN]).await.done();
    let mut page = v1::Client::connect_to(port, ("origin", ORIGIN)).await;
    let pid = page.bash("id -un; echo kept > kept.txt; cat kept.txt").await;
    assert_eq!(page.run(pid).await.stdout, "mhnos\r\nkept\r\n");
}

/// The one whose program the Dockerfile compiled, by the name the step keeps it under.
const COMPILED: &str = "mhnos-kept:compiled";

#[tokio::test]
async fn what_the_dockerfile_compiles_has_in_it_what_browsers_ask_for() {
    let _clean = Clean::new();
    let port = free_port();
    let publish = format!("127.0.0.1:{port}:18790");
    docker(&["run", "-d", "--name", NAMES[0], "-p", &publish, COMPILED]).await.done();
    until_healthy(port).await;
    let get = async |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
        let answer = within(path, http::exchange(port, request)).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    };
    let console = get("/").await;
    let script = console.split('"').find(|it| it.starts_with("/assets/") && it.ends_with(".js"));
    assert!(get(script.unwrap_or_else(|| panic!("no script: {console}"))).await.len() > 10_000);
    assert!(get("/client.js").await.contains("export {"));
}

#[tokio::test]
async fn the_image_is_small() {
    let _clean = Clean::new();
    let size = async |image: &str| -> u64 {
        docker(&["image", "inspect", "--format", "{{.Size}}", image]).await.done().trim().parse().unwrap()
    };
    let added = size("mhnos/runtime").await - size("node:24-bookworm-slim").await;
    assert!(added <= 450_000_000, "{added} bytes are added to the base image");
}
