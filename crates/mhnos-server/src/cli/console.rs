//! `console`: opens the runtime's own page in the browser, with a ticket that is good once and for half a minute.

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
    let opened = !arguments.no_open && open(&url);
    if as_json {
        output::json(&serde_json::json!({ "url": url, "lifetime": lifetime, "opened": opened }))?;
    } else {
        let hint = if opened { "opened in your browser" } else { "open it in your browser" };
        output::text(&format!("{url}\n({hint}; good once, for {lifetime} seconds)\n"))?;
    }
    Ok(SUCCESS)
}

/// Whether the desktop took the address. Without a desktop there is nobody to take it.
fn open(url: &str) -> bool {
    let has_desktop = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    has_desktop
        && Command::new("xdg-open")
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}
