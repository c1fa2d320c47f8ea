//! `console`: opens the runtime's own page in the browser, with a ticket that is good once and for half a minute.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mhnos_protocol::v2::{Reply, Request};
use mhnos_server::state::StateDirectory;

use super::arguments::ConsoleArguments;
use super::client::{Client, unexpected};
use super::failure::{Failure, SUCCESS};
use super::output;

pub(crate) async fn run(
    state: &StateDirectory,
    arguments: &ConsoleArguments,
    as_json: bool,
) -> Result<i32, Failure> {
    let client = Client::connect(state).await?;
    let (url, lifetime) = match client.request(Request::Ticket { origin: None, resume: false }).await? {
        Reply::Ticket { url, lifetime, .. } => (url, lifetime),
        other => return Err(unexpected(&other)),
    };
    client.close().await;
    let opened = !arguments.no_open && open(state.path(), &url);
    if as_json {
        output::json(&serde_json::json!({ "url": url, "lifetime": lifetime, "opened": opened }))?;
    } else {
        let hint = if opened { "opened in your browser" } else { "open it in your browser" };
        output::text(&format!("{url}\n({hint}; good once, for {lifetime} seconds)\n"))?;
    }
    Ok(SUCCESS)
}

/// Whether the desktop took the page. Without a desktop there is nobody to take it.
///
/// What it is given is a file that only this user can read, and that leads on to the address: every user of the machine sees the arguments of
/// every program, and whoever sees the ticket first may use it.
fn open(folder: &Path, url: &str) -> bool {
    let has_desktop = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    if !has_desktop {
        return false;
    }
    let Ok(file) = leading_to(folder, url) else { return false };
    Command::new("xdg-open")
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A page for us alone that leads to this address. It stays, because nobody knows when the browser has read it; the ticket in it is void then.
fn leading_to(folder: &Path, url: &str) -> io::Result<PathBuf> {
    let path = folder.join("console.html");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    writeln!(
        file,
        "<!doctype html><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">\
         <meta http-equiv=\"refresh\" content=\"0; url={url}\"><title>MHNOS Runtime</title>"
    )?;
    Ok(path)
}
