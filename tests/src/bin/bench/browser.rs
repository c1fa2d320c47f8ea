//! What is measured in a real Chromium, driven by a script of `tests/e2e/bench`.

use std::process::{Command, Stdio};

use serde::de::DeserializeOwned;

use crate::Result;

/// Runs a script, and reads what it prints.
///
/// # Errors
/// When it cannot be run, fails, or prints something else.
pub(crate) fn run<M: DeserializeOwned>(name: &str) -> Result<M> {
    let node = std::env::var_os("MHNOS_TEST_NODE24").ok_or("MHNOS_TEST_NODE24 must name Node.js 24")?;
    let script = format!("{}/e2e/bench/{name}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(node).arg(&script).stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{script} ended with {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
