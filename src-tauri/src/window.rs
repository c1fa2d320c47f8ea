//! The window. It is made when it is to be seen and destroyed when it is not, because a web view that nobody sees holds a hundred MiB.

use std::sync::Arc;

use tauri::webview::PageLoadEvent;
use tauri::{AppHandle, Manager, WebviewUrl, WebviewWindowBuilder, WindowEvent};

use crate::commands::docker::Streams;
use crate::desktop::Desktop;
use crate::memory;

const LABEL: &str = "main";

/// A place in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// Whatever is shown first.
    First,
    /// What works on this machine.
    Doctor,
}

impl Page {
    fn fragment(self) -> &'static str {
        match self {
            Self::First => "",
            Self::Doctor => "#/doctor",
        }
    }
}

/// Shows the window at this page, in front of the others. Makes it where there is none.
pub(crate) fn show(app: &AppHandle, page: Page) {
    let handle = app.clone();
    let shown = app.run_on_main_thread(move || {
        if let Err(error) = show_here(&handle, page) {
            tracing::error!(%error, "the window cannot be shown");
        }
    });
    if let Err(error) = shown {
        tracing::error!(%error, "the window cannot be shown: the app is ending");
    }
}

fn show_here(app: &AppHandle, page: Page) -> tauri::Result<()> {
    if let Some(window) = app.get_webview_window(LABEL) {
        window.unminimize()?;
        window.show()?;
        if page != Page::First {
            window.eval(format!("location.hash = {:?}", page.fragment()))?;
        }
        return window.set_focus();
    }
    let address = format!("index.html{}", page.fragment());
    let window = WebviewWindowBuilder::new(app, LABEL, WebviewUrl::App(address.into()))
        .title("MHNOS Runtime")
        .inner_size(1100.0, 720.0)
        .min_inner_size(760.0, 480.0)
        // Links lead to a browser, through `open_url`, never to another page in here.
        .on_navigation(|url| matches!(url.scheme(), "tauri" | "about"))
        // A page that is loaded anew reads nothing of what the one before had begun.
        .on_page_load(|window, page| {
            if page.event() == PageLoadEvent::Started {
                window.state::<Streams>().stop_all();
            }
        })
        .build()?;
    let app = app.clone();
    window.on_window_event(move |event| match event {
        WindowEvent::CloseRequested { api, .. } => {
            let desktop = Desktop::of(&app);
            if !desktop.stays_in_tray() {
                api.prevent_close();
                tauri::async_runtime::spawn(async move { desktop.close_last_window().await });
            }
        }
        WindowEvent::Destroyed => {
            app.state::<Streams>().stop_all();
            drop(tauri::async_runtime::spawn(memory::give_back_when_hidden(app.clone())))
        }
        _ => {}
    });
    Ok(())
}

/// Whether there is a window.
pub(crate) fn is_open(app: &AppHandle) -> bool {
    app.get_webview_window(LABEL).is_some()
}

/// Closes the window, if there is one.
pub(crate) fn close(app: &AppHandle) {
    if let Some(window) = app.get_webview_window(LABEL)
        && let Err(error) = window.destroy()
    {
        tracing::debug!(%error, "the window could not be closed");
    }
}

/// Never leaves a person without window and without icon: shows the window when the tray goes while it is closed.
pub(crate) async fn stand_in_for_tray(desktop: Arc<Desktop>) {
    let mut tray = desktop.tray.subscribe();
    while tray.changed().await.is_ok() {
        if *tray.borrow_and_update() == Some(false) && !is_open(&desktop.app) {
            show(&desktop.app, Page::First);
        }
    }
}
