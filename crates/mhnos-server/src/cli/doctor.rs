//! `doctor`: what works on this machine, what does not, and what to do about it.
//!
//! Every check is made on the spot and none needs a running runtime, because the time for a doctor is when it does not
//! start. A check that could hang has a bound. Checks that do not depend on each other are made at once.

mod folders;
mod programs;
mod runtime;
mod sandbox;

use std::path::Path;

use mhnos_process::toolchain::Toolchain;
use mhnos_server::settings::{ServeArguments, Settings};
use mhnos_server::state::{StateDirectory, StateError};
use serde::Serialize;

use super::failure::{FAILURE, Failure, SUCCESS};
use super::format::plain;
use super::{output, terminal};

/// What a check found.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Condition,
    /// What is the case.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    /// Where the program is, and which version, where that is what was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Condition {
    Ok,
    /// Something will not work, but the runtime does.
    Warn,
    /// The runtime does not work.
    Fail,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, status: Condition::Ok, found: found.into(), advice: None, path: None, version: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { status: Condition::Warn, advice: Some(advice.into()), ..Self::ok(name, found) }
    }

    /// An error whose own sentence says what to do.
    fn error(name: &'static str, error: impl std::fmt::Display) -> Self {
        Self { status: Condition::Fail, ..Self::ok(name, error.to_string()) }
    }

    fn fail(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { status: Condition::Fail, advice: Some(advice.into()), ..Self::ok(name, found) }
    }
}

#[derive(Serialize)]
struct Report {
    /// Whether nothing failed.
    healthy: bool,
    checks: Vec<Check>,
}

pub(crate) async fn run(
    state: Result<StateDirectory, StateError>,
    arguments: ServeArguments,
    as_json: bool,
) -> Result<i32, Failure> {
    let (mut checks, others) = tokio::join!(programs::check(find_tools()), async {
        match &state {
            Ok(state) => check_runtime(state, &arguments).await,
            Err(error) => vec![Check::error("state", error)],
        }
    });
    checks.extend(others);
    let healthy = checks.iter().all(|check| check.status != Condition::Fail);
    let report = Report { healthy, checks };
    if as_json {
        output::json(&report)?;
    } else {
        output::text(&shown(&report, terminal::wants_color()))?;
    }
    Ok(if report.healthy { SUCCESS } else { FAILURE })
}

/// What the runtime itself needs.
async fn check_runtime(state: &StateDirectory, arguments: &ServeArguments) -> Vec<Check> {
    let mut checks = vec![runtime::check(state).await];
    match Settings::load(arguments, state) {
        Ok(settings) => {
            // A running runtime may have been started with other flags than these; what it has is what counts, unless one
            // asks about a certain port or workspace.
            let running = state.runtime().ok().flatten();
            let running_port = running.as_ref().map(|runtime| runtime.port);
            let running_workspace = running.as_ref().map(|runtime| runtime.workspace.clone());
            let port = arguments.port.or(running_port).unwrap_or(settings.port);
            let workspace = arguments.workspace.is_none().then_some(running_workspace).flatten();
            checks.push(runtime::port(port, running_port).await);
            let workspace = workspace.unwrap_or(settings.workspace);
            checks.push(folders::workspace(&workspace));
            checks.push(sandbox::check(settings.sandbox, &workspace, state));
        }
        Err(error) => checks.push(Check::error("settings", error)),
    }
    checks.push(folders::state(state));
    checks
}

/// Where the programs are: looked for as the runtime does, which asks the login shell and so takes a moment.
async fn find_tools() -> Option<Toolchain> {
    tokio::task::spawn_blocking(Toolchain::resolve).await.ok()
}

fn shown(report: &Report, color: bool) -> String {
    let mut text = String::new();
    for check in &report.checks {
        let (word, shade) = match check.status {
            Condition::Ok => ("ok", "\x1b[32m"),
            Condition::Warn => ("warn", "\x1b[33m"),
            Condition::Fail => ("fail", "\x1b[31m"),
        };
        let (shade, end) = if color { (shade, "\x1b[m") } else { ("", "") };
        text += &format!("{shade}{word:<4}{end}  {:<12} {}\n", check.name, plain(&check.found));
        if let Some(advice) = &check.advice {
            text += &format!("{:19}{}\n", "", plain(advice));
        }
    }
    text
}

/// A path as a person reads it.
fn path_text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_to_do() {
        let checks = vec![Check::ok("node", "v24.1.0"), Check::fail("port", "taken by x (pid 1)", "end it")];
        let report = Report { healthy: false, checks };
        assert_eq!(
            shown(&report, false),
            "ok    node         v24.1.0\nfail  port         taken by x (pid 1)\n                   end it\n"
        );
        assert!(shown(&report, true).starts_with("\x1b[32mok  \x1b[m  node"));
    }
}
