//! Which of the programs that the runtime starts are there, and in which version.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use futures_util::future::join_all;
use mhnos_process::toolchain::Toolchain;
use tokio::process::Command;
use tokio::time::timeout;

use super::{Check, path_text};
use crate::cli::format::plain;

/// A program that takes longer to say its version is not asked further.
const ANSWER_TIME: Duration = Duration::from_secs(3);

/// OpenClaw of today does not start with an older Node.js.
const NODE_FOR_OPENCLAW: u32 = 24;

struct Program {
    name: &'static str,
    /// What does not work without it, and how to get it.
    advice: &'static str,
}

const PROGRAMS: [Program; 6] = [
    Program {
        name: "node",
        advice: "without it no node programs run: install Node.js from https://nodejs.org",
    },
    Program {
        name: "python3",
        advice: "without it no python programs run: install Python 3, for example `apt install python3`",
    },
    Program { name: "workerd", advice: "without it no workerd programs run: npm install -g workerd" },
    Program {
        name: "git",
        advice: "programs that call git will fail: install it, for example `apt install git`",
    },
    Program {
        name: "docker",
        advice: "only needed to run the runtime in a container: see https://docs.docker.com/engine/install",
    },
    Program {
        name: "openclaw",
        advice: "only needed for OpenClaw (with Node.js 24): npm install -g openclaw",
    },
];

pub(super) async fn check(toolchain: impl Future<Output = Option<Toolchain>>) -> Vec<Check> {
    let toolchain = toolchain.await;
    let find = |program: &str| toolchain.as_ref().and_then(|toolchain| toolchain.find(program));
    let mut checks =
        join_all(PROGRAMS.iter().map(|program| check_program(program, find(program.name)))).await;
    warn_of_old_node(&mut checks);
    checks
}

async fn check_program(program: &Program, path: Option<impl AsRef<Path>>) -> Check {
    let Some(path) = path else {
        return Check::warn(program.name, "not installed", program.advice);
    };
    let path = path.as_ref();
    let shown = path_text(path);
    let check = match ask_version(path).await {
        Ok(version) => {
            let found = format!("{version}  ({shown})");
            Check { version: Some(version), ..Check::ok(program.name, found) }
        }
        Err(reason) => Check::warn(
            program.name,
            format!("{shown} does not say its version: {reason}"),
            format!("try `{shown} --version`; if that fails, install it anew"),
        ),
    };
    Check { path: Some(shown), ..check }
}

/// The first line a program prints when asked for its version.
async fn ask_version(path: &Path) -> Result<String, String> {
    let mut command = Command::new(path);
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    let output = match timeout(ANSWER_TIME, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("no answer in {} s", ANSWER_TIME.as_secs())),
    };
    let first_line = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        text.lines().map(str::trim).find(|line| !line.is_empty()).map(plain)
    };
    match first_line(&output.stdout) {
        Some(line) if output.status.success() => Ok(line),
        _ => Err(first_line(&output.stderr).unwrap_or_else(|| output.status.to_string())),
    }
}

fn warn_of_old_node(checks: &mut [Check]) {
    let version = |name| checks.iter().find(|check| check.name == name)?.version.clone();
    let (Some(node), Some(_)) = (version("node").as_deref().and_then(major), version("openclaw")) else {
        return;
    };
    if node >= NODE_FOR_OPENCLAW {
        return;
    }
    if let Some(check) = checks.iter_mut().find(|check| check.name == "openclaw") {
        let found = format!("{}, but Node.js is {node}", check.found);
        let advice = format!("OpenClaw needs Node.js {NODE_FOR_OPENCLAW} or newer: install that");
        let (path, version) = (check.path.take(), check.version.take());
        *check = Check { path, version, ..Check::warn("openclaw", found, advice) };
    }
}

/// `v24.1.0` is 24.
fn major(version: &str) -> Option<u32> {
    version.trim_start_matches('v').split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_is_asked_for_its_version() {
        let folder = tempfile::tempdir().unwrap();
        let script = |name: &str, text: &str| {
            use std::os::unix::fs::PermissionsExt;
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let good = script("good", "#!/bin/sh\necho; echo good 1.2; echo more\n");
        assert_eq!(ask_version(&good).await.unwrap(), "good 1.2");
        let bad = script("bad", "#!/bin/sh\necho no library >&2; exit 127\n");
        assert_eq!(ask_version(&bad).await.unwrap_err(), "no library");
        let silent = script("silent", "#!/bin/sh\nexit 3\n");
        assert!(ask_version(&silent).await.unwrap_err().contains('3'));
    }

    #[test]
    fn openclaw_wants_a_new_node() {
        let with = |name, version: &str| Check { version: Some(version.into()), ..Check::ok(name, version) };
        let mut checks = [with("node", "v20.1.0"), with("openclaw", "2026.9.1")];
        warn_of_old_node(&mut checks);
        assert_eq!(checks[1].found, "2026.9.1, but Node.js is 20");
        let mut checks = [with("node", "v24.0.0"), with("openclaw", "2026.9.1")];
        warn_of_old_node(&mut checks);
        assert_eq!(checks[1].found, "2026.9.1");
    }
}
