//! What a person looks at to see what goes on: the audit log, the runtime's own log, and what is the matter with the machine.

use std::process::Stdio;
use std::time::Duration;

use mhnos_protocol::v2::{AuditEntry, DoctorCheck, ErrorCode, LogLine};
use serde::Deserialize;

use super::{Failure, Runtime};
use crate::gate::Principal;
use crate::logging;
use crate::trust::audit;

/// Lines of the audit log in one answer.
const AUDIT_LINES: usize = 1000;

/// Lines of the runtime's own log in one answer.
const LOG_LINES: usize = 5000;

/// After this the doctor is ended: each of its checks has a shorter bound of its own.
const DOCTOR_TIME: Duration = Duration::from_secs(60);

/// As `mhnos-runtime doctor --json` prints it.
#[derive(Deserialize)]
pub(crate) struct DoctorReport {
    pub(crate) healthy: bool,
    pub(crate) checks: Vec<DoctorCheck>,
}

impl Runtime {
    /// The last lines of the audit log, oldest first. Only for local programs.
    ///
    /// # Errors
    /// When this is a page, or the log cannot be read.
    pub(crate) async fn audit_tail(
        &self,
        principal: &Principal,
        tail: u32,
    ) -> Result<Vec<AuditEntry>, Failure> {
        self.only_control(principal)?;
        let folder = self.state.path().to_owned();
        let entries = read("audit log", move || audit::entries(&folder)).await?;
        let from = entries.len().saturating_sub((tail as usize).min(AUDIT_LINES));
        let shown = |entry: &audit::Entry| AuditEntry {
            number: entry.number,
            time: entry.time,
            text: entry.fact.to_string(),
        };
        Ok(entries[from..].iter().map(shown).collect())
    }

    /// The last lines of the runtime's own log, oldest first. Only for local programs.
    ///
    /// # Errors
    /// When this is a page, or the log cannot be read.
    pub(crate) async fn log_tail(&self, principal: &Principal, tail: u32) -> Result<Vec<LogLine>, Failure> {
        self.only_control(principal)?;
        let folder = self.state.log_directory();
        let tail = (tail as usize).min(LOG_LINES);
        let lines = read("log", move || logging::history(&folder, tail)).await?;
        Ok(lines
            .into_iter()
            .map(|line| LogLine { level: line.level, time: line.time, message: line.message })
            .collect())
    }

    /// What works on this machine. Only for local programs.
    ///
    /// A process of its own looks, the same that a person starts: the doctor shares nothing with a runtime that may be the patient, and
    /// there is one of it.
    ///
    /// # Errors
    /// When this is a page, or the doctor cannot be run.
    pub(crate) async fn doctor(&self, principal: &Principal) -> Result<DoctorReport, Failure> {
        self.only_control(principal)?;
        let mut doctor = tokio::process::Command::new("/proc/self/exe");
        doctor
            .args(["doctor", "--json", "--state-dir"])
            .arg(self.state.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let failed = |error: String| {
            Failure::new(
                ErrorCode::Failed,
                format!("the doctor did not answer: {error}; run `mhnos-runtime doctor` in a terminal"),
            )
        };
        let output = match tokio::time::timeout(DOCTOR_TIME, doctor.output()).await {
            Ok(output) => output.map_err(|error| failed(error.to_string()))?,
            Err(_) => return Err(failed(format!("it took more than {} s", DOCTOR_TIME.as_secs()))),
        };
        serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
    }
}

async fn read<T: Send + 'static>(
    what: &'static str,
    read: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let failed =
        |error: String| Failure::new(ErrorCode::Failed, format!("the {what} cannot be read: {error}"));
    match tokio::task::spawn_blocking(read).await {
        Ok(read) => read.map_err(|error| failed(error.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}
