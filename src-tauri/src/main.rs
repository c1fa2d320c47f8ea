//! MHNOS Runtime for people who never see a terminal: a tray icon that tells the truth, a window, and the bridge they keep running.
//!
//! A thin shell. [`supervisor`] keeps an [`engine`] going and publishes a [`snapshot`]; [`tray`], [`notifications`], [`approvals`] and
//! the window's [`commands`] each watch that and give orders. The window speaks to the bridge like any browser tab. Nothing here
//! depends on a session bus or on a tray: without them [`window`] is all there is, and is not hidden.

mod approvals;
mod arguments;
mod autostart;
mod commands;
mod desktop;
mod diagnostics;
mod dialogs;
mod doctor;
mod engine;
mod instance;
mod link;
mod links;
mod memory;
mod notifications;
mod settings;
mod snapshot;
mod supervisor;
mod tray;
mod window;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use mhnos_server::state::StateDirectory;
use tauri::{Manager, RunEvent};

use crate::arguments::{Arguments, write_manual};
use crate::desktop::Desktop;
use crate::instance::{Call, First};
use crate::window::Page;

/// How long the panel may take to say that it shows the icon, before a window that is to be hidden is shown after all.
const TRAY_TIME: Duration = Duration::from_secs(3);

/// Threads for what waits on sockets and timers; all of it is small.
const THREADS: usize = 2;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    if let Some(folder) = arguments.manual {
        write_manual(&folder)?;
        return Ok(ExitCode::SUCCESS);
    }
    let call = arguments.link.map_or(Call::Show, Call::Link);
    let state = StateDirectory::open(None)?;
    let Some(first) = instance::become_first(&state, &call)? else { return Ok(ExitCode::SUCCESS) };
    prepare_web_view();
    gtk::init().map_err(|_| "there is no display to show a window on: run `mhnos-runtime serve` instead")?;
    let _log = begin_log(&state);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    tauri::async_runtime::set(runtime.handle().clone());
    let _entered = runtime.enter();
    let app = tauri::Builder::default()
        .plugin(tauri_plugin_window_state::Builder::default().build())
        .manage(commands::docker::Streams::default())
        .invoke_handler(tauri::generate_handler![
            commands::engine_state,
            commands::engine_start,
            commands::engine_stop,
            commands::engine_restart,
            commands::engine_switch,
            commands::connection,
            commands::settings,
            commands::settings_save,
            commands::open,
            commands::open_url,
            commands::doctor,
            commands::doctor_fix,
            commands::export_diagnostics,
            commands::choose_folder,
            commands::reset,
            commands::quit,
            commands::docker::docker,
            commands::docker::docker_stream,
            commands::docker::docker_stream_stop,
        ])
        .setup(move |app| {
            begin(app, state, first, call);
            Ok(())
        })
        .build(tauri::generate_context!())?;
    app.run(|_, event| {
        // Without a window the app lives on in the tray; it ends when told to.
        if let RunEvent::ExitRequested { code: None, api, .. } = event {
            api.prevent_exit();
        }
    });
    Ok(ExitCode::SUCCESS)
}

fn begin(app: &tauri::App, state: StateDirectory, first: First, call: Call) {
    let settings = settings::app(&state);
    let desktop = Desktop::begin(app.handle().clone(), state);
    app.manage(Arc::clone(&desktop));
    if settings.start_hidden {
        tokio::spawn(show_without_tray(Arc::clone(&desktop)));
        tokio::spawn(memory::give_back_when_hidden(app.handle().clone()));
    } else {
        window::show(app.handle(), Page::First);
    }
    let called = {
        let desktop = Arc::clone(&desktop);
        move |call| match call {
            Call::Show => window::show(&desktop.app, Page::First),
            Call::Link(link) => drop(tokio::spawn(links::open(Arc::clone(&desktop), link))),
        }
    };
    if matches!(call, Call::Link(_)) {
        called(call);
    }
    tokio::spawn(first.listen(called));
    tokio::spawn(tray::show(Arc::clone(&desktop)));
    tokio::spawn(window::stand_in_for_tray(Arc::clone(&desktop)));
    tokio::spawn(approvals::watch(Arc::clone(&desktop)));
    tokio::spawn(notifications::watch(Arc::clone(&desktop)));
    tokio::spawn(commands::tell(Arc::clone(&desktop)));
    tokio::spawn(end_with_signal(desktop));
}

/// A window that is to be hidden is shown when nothing says in time that the tray is there.
async fn show_without_tray(desktop: Arc<Desktop>) {
    let mut tray = desktop.tray.subscribe();
    let known = tokio::time::timeout(TRAY_TIME, tray.wait_for(Option::is_some)).await;
    if known.is_err() {
        window::show(&desktop.app, Page::First);
    }
}

/// The end of the session, or a person with `kill`.
async fn end_with_signal(desktop: Arc<Desktop>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    desktop.quit().await;
}

/// With NVIDIA's driver the web view's faster way to the screen shows a white window; elsewhere it is to be used.
fn prepare_web_view() {
    const SWITCH: &str = "WEBKIT_DISABLE_DMABUF_RENDERER";
    if Path::new("/proc/driver/nvidia/version").exists() && std::env::var_os(SWITCH).is_none() {
        // SAFETY: there is no other thread yet.
        #[allow(unsafe_code, reason = "the web view reads it from the environment")]
        unsafe {
            std::env::set_var(SWITCH, "1");
        }
    }
}

/// The app's own log: on standard error, and in the state folder, a file a day.
fn begin_log(state: &StateDirectory) -> Option<tracing_appender::non_blocking::WorkerGuard> {
    use tracing_subscriber::prelude::*;
    let level = tracing_subscriber::filter::LevelFilter::INFO;
    // The runtime makes it, too, but later.
    let _ = std::fs::create_dir_all(state.log_directory());
    let file = tracing_appender::rolling::Builder::new()
        .rotation(tracing_appender::rolling::Rotation::DAILY)
        .filename_prefix("desktop")
        .filename_suffix("log")
        .max_log_files(7)
        .build(state.log_directory());
    let (file, guard) = file.ok().map(tracing_appender::non_blocking).unzip();
    tracing_subscriber::registry()
        .with(level)
        .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr))
        .with(file.map(|file| tracing_subscriber::fmt::layer().with_ansi(false).with_writer(file)))
        .init();
    guard
}
