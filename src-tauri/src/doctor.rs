//! What works on this machine: the checks of `mhnos-runtime doctor`, which need no running bridge, those of this app, and what can be done about
//! each at the press of a button.

use mhnos_server::settings::{ServeArguments, Settings};
use serde_json::{Value, json};

use crate::desktop::Desktop;
use crate::engine::{Kind, runtime_command};
use crate::snapshot::Phase;

/// Why there is no report, or nothing could be mended; a sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DoctorFailure(String);

fn failed(what: &str, error: &dyn std::fmt::Display) -> DoctorFailure {
    DoctorFailure(format!("{what}: {error}"))
}

/// All checks: `{healthy, checks: [{name, status, found, advice?, path?, version?, fixable?}]}`. For what is
/// `fixable`, [`fix`] does something.
///
/// # Errors
/// When the checks of the runtime cannot be made.
pub(crate) async fn examine(desktop: &Desktop) -> Result<Value, DoctorFailure> {
    let mut command = runtime_command().map_err(|error| DoctorFailure(error.0))?;
    let output = command
        .arg("--state-dir")
        .arg(desktop.state.path())
        .args(["doctor", "--json"])
        .output()
        .await
        .map_err(|error| failed("mhnos-runtime doctor cannot be started", &error))?;
    let mut report: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| failed("mhnos-runtime doctor gave no report", &error))?;
    let engine = desktop.supervisor.snapshot().borrow().engine.clone();
    if let Some(checks) = report["checks"].as_array_mut() {
        checks.push(tray(desktop));
        for check in checks {
            // The doctor looks for a runtime of this state folder; one in a container is none, and has been asked a moment ago.
            if engine.kind == Kind::Docker && engine.phase == Phase::Running {
                let found = match check["name"].as_str() {
                    Some("runtime") => format!("runs in Docker, and answers at port {}", engine.port),
                    Some("port") => format!("{}: held by the container", engine.port),
                    _ => String::new(),
                };
                if !found.is_empty() {
                    *check = json!({ "name": check["name"], "status": "ok", "found": found });
                }
            }
            if check["status"] == "ok" {
                continue;
            }
            let is_fixable = match check["name"].as_str() {
                Some("runtime") => matches!(engine.phase, Phase::Stopped | Phase::Failed),
                Some("port" | "workspace") => true,
                _ => false,
            };
            check["fixable"] = is_fixable.into();
        }
    }
    Ok(report)
}

fn tray(desktop: &Desktop) -> Value {
    match *desktop.tray.borrow() {
        Some(true) => json!({ "name": "tray", "status": "ok", "found": "the icon is shown" }),
        _ => json!({
            "name": "tray",
            "status": "warn",
            "found": "this desktop shows no tray icons, so closing the window ends the app",
            "advice": "on GNOME, install the extension AppIndicator",
        }),
    }
}

/// Does what the button of a check promises.
///
/// # Errors
/// When it cannot be done, or there is no such button.
pub(crate) async fn fix(desktop: &Desktop, check: &str) -> Result<(), DoctorFailure> {
    match check {
        "port" => {
            desktop.use_another_port().await.map_err(|error| failed("the port stays", &error))?;
        }
        "runtime" => desktop.supervisor.start().await,
        "workspace" => {
            let settings = Settings::load(&ServeArguments::default(), &desktop.state)
                .map_err(|error| failed("the settings cannot be used", &error))?;
            std::fs::create_dir_all(&settings.workspace).map_err(|error| {
                failed(&format!("{} cannot be made", settings.workspace.display()), &error)
            })?;
        }
        other => {
            return Err(DoctorFailure(format!(
                "there is no button for {other}: follow the advice beside it"
            )));
        }
    }
    Ok(())
}
