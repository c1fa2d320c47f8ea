//! What goes wrong around a container, each with a sentence and a way out.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use mhnos_tests::command::Said;
use mhnos_tests::{system, within};
use nix::sys::signal::Signal;

use crate::support::{
    Clean, NAMES, Up, cli, command, docker, exists, health, last_line, private_engine, refusal,
    until_healthy, workspace,
};

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_who_has_it() {
    let _clean = Clean::new();
    let folder = workspace();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let words = ["up", "--port", &port, "--workspace", &folder.path().display().to_string()];
    let sentence = refusal(cli(&words).await);
    let holder = std::env::current_exe().unwrap();
    // The kernel keeps fifteen bytes of a name.
    let holder: String = holder.file_name().unwrap().to_string_lossy().chars().take(10).collect();
    assert!(
        sentence.contains(&format!("port {port} is taken by {holder}"))
            && sentence.contains(&std::process::id().to_string())
            && sentence.contains("--port"),
        "{sentence}"
    );
    assert!(!exists("container", NAMES[0]).await, "what never ran is not left behind");
    drop(listener);
    assert_eq!(last_line(cli(&[&words[..], &["--json"]].concat()).await)["outcome"], "made");
}

#[tokio::test]
async fn an_image_that_is_missing_is_made_and_one_that_cannot_be_is_explained() {
    let up = Up::new().await;
    docker(&["rm", "--force", NAMES[0]]).await.done();
    docker(&["rmi", "mhnos/runtime:latest"]).await.done();
    let said = up.again(&[]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stderr.contains("step 1 of "), "how far it is, is shown: {said:?}");
    assert_eq!(health(up.port).await["status"], "ok");

    // Without what it is built on, and where that cannot be fetched.
    docker(&["rm", "--force", NAMES[0]]).await.done();
    docker(&["tag", "node:24-bookworm-slim", "mhnos-kept:base"]).await.done();
    docker(&["rmi", "mhnos/runtime:latest", "node:24-bookworm-slim"]).await.done();
    let said = up.again(&[]).await;
    docker(&["tag", "mhnos-kept:base", "node:24-bookworm-slim"]).await.done();
    docker(&["rmi", "mhnos-kept:base"]).await.done();
    // Where a registry is reached, it was fetched.
    if said.code != Some(0) {
        let sentence = refusal(said);
        assert!(sentence.contains("could not be fetched") && sentence.contains("docker pull"), "{sentence}");
    }
    docker(&["rmi", "mhnos/runtime:latest"]).await;
}

#[tokio::test]
async fn a_name_that_is_somebody_elses_is_left_alone() {
    let _clean = Clean::new();
    docker(&["create", "--name", NAMES[0], "node:24-bookworm-slim", "true"]).await.done();
    let folder = workspace();
    let up = ["up", "--workspace", &folder.path().display().to_string()];
    for words in [&up[..], &["down"]] {
        let sentence = refusal(cli(words).await);
        assert!(
            sentence.contains("is of the image node:24-bookworm-slim") && sentence.contains("docker rename"),
            "{sentence}"
        );
    }
    assert!(exists("container", NAMES[0]).await);
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_said_with_where_it_was_looked_for() {
    let empty = tempfile::tempdir().unwrap();
    let absent = empty.path().join("docker.sock");
    let mut named = command(&["up"]);
    named.env("DOCKER_HOST", format!("unix://{}", absent.display()));
    let sentence = refusal(Said::from(named.output().unwrap()));
    assert!(sentence.contains(&absent.display().to_string()) && sentence.contains("start it"), "{sentence}");
    // A socket nobody listens at any more.
    drop(std::os::unix::net::UnixListener::bind(&absent).unwrap());
    let mut named = command(&["status"]);
    named.env("DOCKER_HOST", format!("unix://{}", absent.display()));
    let sentence = refusal(Said::from(named.output().unwrap()));
    assert!(sentence.contains("does not answer") && sentence.contains("start it"), "{sentence}");
    if !Path::new("/var/run/docker.sock").exists() {
        let mut nothing = command(&["doctor"]);
        nothing.env_remove("DOCKER_HOST").env("HOME", empty.path()).env_remove("XDG_RUNTIME_DIR");
        let sentence = refusal(Said::from(nothing.output().unwrap()));
        assert!(
            sentence.contains("/var/run/docker.sock") && sentence.contains("install Docker or Podman"),
            "{sentence}"
        );
    }
}

#[tokio::test]
async fn a_workspace_of_roots_is_refused_with_how_to_give_it_away() {
    let _clean = Clean::new();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("precious"), "").unwrap();
    let is_root = std::os::unix::fs::MetadataExt::uid(&folder.path().metadata().unwrap()) == 0;
    if is_root {
        let sentence = refusal(cli(&["up", "--workspace", &folder.path().display().to_string()]).await);
        assert!(sentence.contains("belongs to root") && sentence.contains("chown"), "{sentence}");
    }
}

/// The tests' own engine, stopped and started.
struct Engine {
    arguments: Vec<String>,
    folder: std::path::PathBuf,
}

impl Engine {
    fn own() -> Option<Self> {
        let folder = private_engine()?;
        let pid = std::fs::read_to_string(folder.join("pid")).unwrap();
        let line = std::fs::read_to_string(format!("/proc/{}/cmdline", pid.trim())).unwrap();
        let arguments = line.split_terminator('\0').map(str::to_owned).collect();
        Some(Self { arguments, folder })
    }

    async fn stop(&self) {
        let pid: i32 = std::fs::read_to_string(self.folder.join("pid")).unwrap().trim().parse().unwrap();
        system::signal(pid, Signal::SIGTERM);
        within("the engine stops", async {
            while system::is_alive(pid) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    async fn start(&self) {
        let log = std::fs::File::options().append(true).open(self.folder.join("log")).unwrap();
        // It outlives this test.
        let mut command = Command::new("setsid");
        command.arg("--fork").args(&self.arguments).stdin(Stdio::null());
        assert!(command.stdout(log.try_clone().unwrap()).stderr(log).status().unwrap().success());
        within("the engine starts", async {
            while docker(&["version"]).await.code != Some(0) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn an_engine_that_stops_in_mid_work_is_noticed_and_what_ran_is_back_with_it() {
    let Some(engine) = Engine::own() else {
        // Nobody's engine is stopped but the tests' own.
        return;
    };
    let up = Up::new().await;
    let mut watching: Vec<_> = [["logs", "--follow"], ["stats", "--follow"], ["status", "--follow"]]
        .into_iter()
        .map(|words| {
            let mut child = command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut output = BufReader::new(child.stdout.take().unwrap());
            output.read_line(&mut String::new()).unwrap();
            // Read on, so that it never waits for us.
            std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
            (words, child)
        })
        .collect();
    engine.stop().await;
    let mut said = Vec::new();
    for (words, child) in watching.drain(..) {
        let ended = tokio::task::spawn_blocking(|| child.wait_with_output());
        said.push((words[0], Said::from(within("who watched ends", ended).await.unwrap().unwrap())));
    }
    said.push(("a command", cli(&["status"]).await));
    // Before anything is compared: the other tests need it.
    engine.start().await;
    for (what, said) in said {
        let sentence = refusal(said);
        assert!(
            sentence.contains("start it")
                && (sentence.contains("stopped answering") || sentence.contains("does not answer")),
            "{what}: {sentence}"
        );
    }
    // The engine starts what ran when it stopped.
    until_healthy(up.port).await;
    up.page().await.still_works().await;
    assert_eq!(
        last_line(up.again(&["--allow-origin", mhnos_tests::ORIGIN, "--json"]).await)["outcome"],
        "ran already"
    );
}

#[tokio::test]
async fn a_full_disk_of_the_engine_is_said_and_nothing_is_left_half_made() {
    let Some(engine) = private_engine() else {
        // Nobody's disk is filled but that of the tests' own engine.
        return;
    };
    let _clean = Clean::new();
    let folder = workspace();
    let data = engine.join("data");
    let resize = |size: &str| {
        let done = Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(&data).status();
        assert!(done.unwrap().success());
    };
    let used = Command::new("df").args(["--output=used", "-B1"]).arg(&data).output().unwrap();
    let used: u64 = String::from_utf8(used.stdout).unwrap().lines().nth(1).unwrap().trim().parse().unwrap();
    // Less than the program that a build would put there.
    resize(&(used + (1 << 20)).to_string());
    docker(&["rmi", "mhnos/runtime:latest"]).await.done();
    docker(&["rmi", "mhnos-kept:usual"]).await.done();
    let said = cli(&["build"]).await;
    resize("10g");
    let sentence = refusal(said);
    assert!(sentence.contains("disk is full") && sentence.contains("docker system prune"), "{sentence}");
    // There is room again.
    let done = cli(&[
        "up",
        "--json",
        "--port",
        &crate::support::free_port().to_string(),
        "--workspace",
        &folder.path().display().to_string(),
    ])
    .await;
    assert_eq!(last_line(done)["outcome"], "made");
}
