//! `docker status`: the containers there are, and with `--follow` how they change.

use futures_util::{StreamExt, stream};
use mhnos_docker::container::Container;
use mhnos_docker::{DockerError, Engine, Variant};
use serde::Serialize;

use super::arguments::StatusArguments;
use crate::cli::failure::{Failure, SUCCESS};
use crate::cli::format::{Align, Column, plain, table};
use crate::cli::{health, output};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    container: &'static str,
    image: Option<String>,
    /// The engine's word; `absent` where there is none.
    state: String,
    /// What the engine's own check says.
    health: Option<String>,
    /// Whether the runtime answers at its port, now.
    answers: bool,
    ports: Vec<u16>,
    workspace: Option<String>,
    exit_code: Option<i64>,
    error: Option<String>,
    started_at: Option<String>,
    made_here: bool,
}

pub(super) async fn run(engine: &Engine, arguments: &StatusArguments, as_json: bool) -> Result<i32, Failure> {
    let only = arguments.which.chosen();
    let variants =
        || Variant::ALL.into_iter().filter(move |variant| only.is_none_or(|only| only == *variant));
    if !arguments.follow {
        show(engine, variants(), only.is_some(), false, as_json).await?;
        return Ok(SUCCESS);
    }
    // Listened for before the first look, so that nothing happens unseen in between.
    let mut events = stream::select_all(variants().map(|variant| engine.events(variant)));
    loop {
        show(engine, variants(), only.is_some(), true, as_json).await?;
        loop {
            let lost = || DockerError::Lost { doing: "tell what happens".into() };
            let event = events.next().await.ok_or_else(lost)??;
            // Each health check is three events that change nothing.
            if !event.starts_with("exec_") {
                break;
            }
        }
    }
}

async fn show(
    engine: &Engine,
    variants: impl Iterator<Item = Variant>,
    is_named: bool,
    goes_on: bool,
    as_json: bool,
) -> Result<(), Failure> {
    let mut reports = Vec::new();
    for variant in variants {
        let container = engine.container(variant).await?;
        if container.is_some() || is_named || variant == Variant::Usual {
            reports.push(report(variant, container).await);
        }
    }
    match (as_json, goes_on) {
        (true, false) => output::json(&reports),
        (true, true) => output::json_line(&reports),
        (false, _) => output::text(&shown(&reports)),
    }
}

async fn report(variant: Variant, container: Option<Container>) -> Report {
    let answers = match &container {
        Some(Container { running: true, ports, .. }) => match ports.first() {
            Some(port) => health::answers(*port).await,
            None => false,
        },
        _ => false,
    };
    let found = container.as_ref();
    Report {
        container: variant.container(),
        image: found.map(|container| container.image.clone()),
        state: found.map_or_else(|| "absent".into(), |container| container.state.clone()),
        health: found.and_then(|container| container.health.clone()),
        answers,
        ports: found.map(|container| container.ports.clone()).unwrap_or_default(),
        workspace: found.and_then(|container| container.workspace.clone()),
        exit_code: found.and_then(|container| container.exit_code),
        error: found.and_then(|container| container.error.clone()),
        started_at: found.and_then(|container| container.started_at.clone()),
        made_here: found.is_some_and(|container| container.is_ours),
    }
}

fn shown(reports: &[Report]) -> String {
    let column = |title| Column { title, align: Align::Left };
    let columns =
        [column("CONTAINER"), column("STATE"), column("ANSWERS"), column("PORT"), column("WORKSPACE")];
    let rows: Vec<Vec<String>> = reports
        .iter()
        .map(|report| {
            let state = match (&report.state[..], report.exit_code, &report.health) {
                ("absent", ..) => "absent: `mhnos-runtime docker up` makes one".into(),
                (state, Some(code), _) => format!("{state}, code {code}"),
                (state, None, Some(health)) => format!("{state}, {health}"),
                (state, None, None) => state.to_owned(),
            };
            let ports: Vec<String> = report.ports.iter().map(u16::to_string).collect();
            vec![
                report.container.to_owned(),
                plain(&state),
                if report.answers { "yes" } else { "no" }.to_owned(),
                ports.join(","),
                plain(report.workspace.as_deref().unwrap_or_default()),
            ]
        })
        .collect();
    let errors = reports.iter().filter_map(|report| Some((report.container, report.error.as_ref()?)));
    let errors: String = errors.map(|(name, error)| format!("{name}: {}\n", plain(error))).collect();
    table(&columns, &rows, None) + &errors
}
