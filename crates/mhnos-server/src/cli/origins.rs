//! `origins`: which web pages may use the runtime, as a person decides.

use mhnos_protocol::v2::{KnownOrigin, OriginState, Reply, Request};
use mhnos_server::state::StateDirectory;

use super::arguments::OriginsCommand;
use super::client::{Client, unexpected};
use super::failure::{Failure, SUCCESS};
use super::format::{Align, Column, plain, table};
use super::output;

pub(crate) async fn run(
    state: &StateDirectory,
    command: OriginsCommand,
    as_json: bool,
) -> Result<i32, Failure> {
    let client = Client::connect(state).await?;
    let request = match &command {
        OriginsCommand::List => Request::Origins,
        OriginsCommand::Allow { origin } => Request::AllowOrigin { origin: origin.clone() },
        OriginsCommand::Revoke { origin } => Request::RevokeOrigin { origin: origin.clone() },
    };
    let reply = client.request(request).await?;
    client.close().await;
    match (reply, command) {
        (Reply::Origins { origins, .. }, _) if as_json => output::json(&origins)?,
        (Reply::Origins { origins, .. }, _) => output::text(&listing(&origins))?,
        (Reply::Done { .. }, _) if as_json => output::json(&serde_json::json!({ "ok": true }))?,
        (Reply::Done { .. }, OriginsCommand::Allow { origin }) => {
            output::text(&format!(
                "{origin} may run programs and change files of the workspace from now on\n"
            ))?;
        }
        (Reply::Done { .. }, OriginsCommand::Revoke { origin }) => {
            output::text(&format!("{origin} may not any more; what it had started is ended\n"))?;
        }
        (other, _) => return Err(unexpected(&other)),
    }
    Ok(SUCCESS)
}

fn listing(origins: &[KnownOrigin]) -> String {
    if origins.is_empty() {
        return "no web page is allowed, and none waits: say `runtime connect` in MHNOS\n".into();
    }
    let state = |state| match state {
        OriginState::Allowed => "allowed",
        OriginState::AllowedBySettings => "allowed by the settings",
        OriginState::Waiting => "waits: `mhnos-runtime origins allow` lets it in",
    };
    let columns =
        [Column { title: "ORIGIN", align: Align::Left }, Column { title: "STATE", align: Align::Left }];
    let rows: Vec<Vec<String>> =
        origins.iter().map(|known| vec![plain(&known.origin), state(known.state).to_owned()]).collect();
    table(&columns, &rows, None)
}
