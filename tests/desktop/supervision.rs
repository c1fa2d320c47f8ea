//! The runtime under the app's care.

use std::net::TcpListener;

use mhnos_tests::{eventually, runtime_program, system};
use nix::sys::signal::Signal;

use crate::panel::Panel;
use crate::session::Session;

#[tokio::test]
async fn a_runtime_that_is_killed_is_started_again_and_that_is_seen() {
    let session = Session::new();
    let panel = Panel::open(&session).await;
    let app = session.start();
    panel.until("that it runs", |title| title.starts_with("Running")).await;
    let first = session.runtime_pid();
    assert!(app.processes().contains(&first), "it is a child of the app");
    system::signal(first, Signal::SIGKILL);
    panel.until("that it does not run", |title| !title.starts_with("Running")).await;
    panel.until("that it runs again", |title| title.starts_with("Running")).await;
    assert_ne!(session.runtime_pid(), first);
    session.healthy(session.port).await;
}

#[tokio::test]
async fn a_runtime_that_does_not_answer_is_not_green() {
    let session = Session::new();
    let panel = Panel::open(&session).await;
    let _app = session.start();
    panel.until("that it runs", |title| title.starts_with("Running")).await;
    let running = panel.icon().await;
    let runtime = session.runtime_pid();
    // Its process is there and its port is open, and yet nobody is served.
    system::signal(runtime, Signal::SIGSTOP);
    panel.until("that it does not answer", |title| title.contains("does not answer")).await;
    assert_ne!(panel.icon().await, running);
    system::signal(runtime, Signal::SIGCONT);
    panel.until("that it runs again", |title| title.starts_with("Running")).await;
}

#[tokio::test]
async fn a_runtime_that_always_ends_has_failed_after_a_while_and_says_why() {
    let session = Session::new();
    session.runtime_settings(&format!(r#"{{"port": {}, "sandbox": "loose"}}"#, session.port));
    let panel = Panel::open(&session).await;
    let _app = session.start();
    let title = panel.until("that it failed", |title| title.starts_with("Failed")).await;
    assert!(title.contains("5 times in a row"), "{title}");
}

#[tokio::test]
async fn a_taken_port_is_said_with_its_holder_and_there_is_a_way_out() {
    let session = Session::new();
    let taken = TcpListener::bind(("127.0.0.1", session.port)).unwrap();
    let panel = Panel::open(&session).await;
    let _app = session.start();
    let title = panel.until("that it failed", |title| title.starts_with("Failed")).await;
    let holder = format!("(pid {})", std::process::id());
    assert!(
        title.contains(&format!("port {} is taken by", session.port)) && title.contains(&holder),
        "{title}"
    );
    panel.choose("Use another port").await;
    panel.until("that it runs", |title| title.starts_with("Running")).await;
    let port = session.announced().unwrap()["port"].as_u64().unwrap() as u16;
    assert_ne!(port, session.port);
    session.healthy(port).await;
    drop(taken);
}

#[tokio::test]
async fn one_that_runs_already_is_adopted_and_outlives_the_app() {
    let session = Session::new();
    let mut serve = std::process::Command::new(runtime_program());
    session.prepare(&mut serve);
    let mut serve = serve.arg("serve").spawn().unwrap();
    session.healthy(session.port).await;
    let panel = Panel::open(&session).await;
    let mut app = session.start();
    panel.until("that one runs", |title| title.contains("started elsewhere")).await;
    panel.choose("Quit (the runtime goes on)").await;
    eventually("the app ends", || !app.is_running()).await;
    session.healthy(session.port).await;
    assert!(serve.try_wait().unwrap().is_none(), "it goes on");
    system::signal(serve.id() as i32, Signal::SIGTERM);
    serve.wait().unwrap();
}

#[tokio::test]
async fn without_docker_a_switch_to_it_fails_with_a_sentence_and_native_comes_back() {
    let session = Session::new();
    let panel = Panel::open(&session).await;
    let _app = session.start();
    panel.until("that it runs", |title| title.starts_with("Running natively")).await;
    panel.choose("Docker").await;
    let title = panel.until("that it failed", |title| title.starts_with("Failed")).await;
    assert!(title.starts_with("Failed: the engine at "), "{title}");
    session.silent(session.port).await;
    panel.choose("Native").await;
    panel.until("that it runs", |title| title.starts_with("Running natively")).await;
}

#[tokio::test]
async fn nothing_is_left_behind_when_the_app_is_killed() {
    let session = Session::new();
    let panel = Panel::open(&session).await;
    let mut app = session.start();
    panel.until("that it runs", |title| title.starts_with("Running")).await;
    let there = app.processes();
    system::signal(app.pid(), Signal::SIGKILL);
    app.gone(&there).await;
    session.silent(session.port).await;
}
