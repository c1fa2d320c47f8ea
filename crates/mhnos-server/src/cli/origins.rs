//! `origins`: which web pages may use the runtime, as a person decides.

use mhnos_protocol::v2::{Access, Event, KnownOrigin, OriginState, Reply, Request, Topic};
use mhnos_server::state::StateDirectory;

use super::arguments::OriginsCommand;
use super::client::{Client, unexpected};
use super::failure::{Failure, SUCCESS};
use super::format::{Align, Column, moment, plain, table};
use super::output;

pub(crate) async fn run(
    state: &StateDirectory,
    command: OriginsCommand,
    as_json: bool,
) -> Result<i32, Failure> {
    let client = Client::connect(state).await?;
    let (request, said) = match command {
        OriginsCommand::List => return list(client, as_json, false).await,
        OriginsCommand::Pending { follow: false } => return list(client, as_json, true).await,
        OriginsCommand::Pending { follow: true } => return follow(&client, as_json).await,
        OriginsCommand::Allow { origin, once, files_only } => {
            let may = if files_only {
                "change files of the workspace"
            } else {
                "run programs and change files of the workspace"
            };
            let how_long = if once { "until it is closed" } else { "from now on" };
            let said = format!("{origin} may {may} {how_long}\n");
            let access = Some(if files_only { Access::Files } else { Access::Full });
            (Request::AllowOrigin { origin, access, once }, said)
        }
        OriginsCommand::Deny { origin } => {
            let said = format!("{origin} may not, and is not asked about for a while\n");
            (Request::DenyOrigin { origin }, said)
        }
        OriginsCommand::Revoke { origin } => {
            let said = format!("{origin} may not any more; what it had started is ended\n");
            (Request::RevokeOrigin { origin }, said)
        }
    };
    let reply = client.request(request).await?;
    client.close().await;
    match reply {
        Reply::Done { .. } if as_json => output::json(&serde_json::json!({ "ok": true }))?,
        Reply::Done { .. } => output::text(&said)?,
        other => return Err(unexpected(&other)),
    }
    Ok(SUCCESS)
}

async fn list(client: Client, as_json: bool, only_waiting: bool) -> Result<i32, Failure> {
    let mut origins = match client.request(Request::Origins).await? {
        Reply::Origins { origins, .. } => origins,
        other => return Err(unexpected(&other)),
    };
    client.close().await;
    if only_waiting {
        origins.retain(|known| known.state == OriginState::Waiting);
    }
    match (as_json, origins.is_empty(), only_waiting) {
        (true, ..) => output::json(&origins)?,
        (false, true, true) => output::text("no web page waits for an answer\n")?,
        (false, true, false) => {
            output::text("no web page is allowed, and none waits: say `runtime connect` in MHNOS\n")?;
        }
        (false, false, _) => output::text(&listing(&origins))?,
    }
    Ok(SUCCESS)
}

/// Prints pages as they begin to wait, until interrupted.
async fn follow(client: &Client, as_json: bool) -> Result<i32, Failure> {
    let show = |known: &KnownOrigin| match as_json {
        true => output::json(known),
        false => output::text(&format!(
            "{} waits: mhnos-runtime origins allow {0}   (or deny)\n",
            plain(&known.origin)
        )),
    };
    // Listened to before the present state is taken, so that nothing falls between the two.
    let mut events = client.events();
    client.request(Request::Subscribe { topics: vec![Topic::Origins] }).await?;
    match client.request(Request::Origins).await? {
        Reply::Origins { origins, .. } => {
            for known in origins.iter().filter(|known| known.state == OriginState::Waiting) {
                show(known)?;
            }
        }
        other => return Err(unexpected(&other)),
    }
    while let Some(event) = events.recv().await {
        if let Event::OriginAsked { origin } = event {
            show(&origin)?;
        }
    }
    Err(Failure::Disconnected)
}

fn listing(origins: &[KnownOrigin]) -> String {
    let state = |known: &KnownOrigin| match (known.state, known.until) {
        (OriginState::Allowed, _) => "allowed".to_owned(),
        (OriginState::AllowedOnce, _) => "allowed until it is closed".into(),
        (OriginState::AllowedBySettings, _) => "allowed by the settings".into(),
        (OriginState::Waiting, _) => "waits: `mhnos-runtime origins allow` lets it in".into(),
        (OriginState::Denied, Some(until)) => format!("denied until {}", moment(until)),
        (OriginState::Denied, None) => "denied".into(),
        (OriginState::Unknown, _) => "connected, not decided".into(),
    };
    let access = |known: &KnownOrigin| match known.access {
        Some(Access::Full) => "programs and files",
        Some(Access::Files) => "files",
        None => "nothing",
    };
    let column = |title| Column { title, align: Align::Left };
    let columns = [
        column("ORIGIN"),
        column("MAY USE"),
        Column { title: "CONNECTIONS", align: Align::Right },
        column("STATE"),
    ];
    let rows: Vec<Vec<String>> = origins
        .iter()
        .map(|known| {
            vec![plain(&known.origin), access(known).to_owned(), known.connections.to_string(), state(known)]
        })
        .collect();
    table(&columns, &rows, None)
}
