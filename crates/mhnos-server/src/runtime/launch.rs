//! From what a client asks to have started, in its own terms, to a program of this machine that runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mhnos_process::program::{self, Intent, Kind, ProgramError, Surroundings};
use mhnos_process::{EndReason, SpawnError, SpawnRequest, TerminalSize};
use mhnos_protocol::v2::{self, ErrorCode};
use mhnos_protocol::{ProcessKind, limits};

use super::{Failure, Runtime, RuntimeProcess, Tag};
use crate::gate::Principal;
use crate::state::random_hexadecimal;

/// A program to start, as either protocol asks for it.
#[derive(Debug)]
pub struct Launch {
    /// Its kind.
    pub kind: ProcessKind,
    /// Script, configuration or shell.
    pub command: Option<String>,
    /// What follows.
    pub args: Vec<String>,
    /// Working directory, as the client names it.
    pub cwd: Option<String>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Milliseconds; 0: none.
    pub timeout: Option<u64>,
    /// Size of the terminal, if one is wanted.
    pub terminal: Option<v2::TerminalSize>,
}

impl Runtime {
    /// Starts a program for `owner`.
    ///
    /// # Errors
    /// With a sentence that says what to do.
    pub async fn launch(&self, owner: Principal, launch: Launch) -> Result<Arc<RuntimeProcess>, Failure> {
        check(&launch)?;
        let kind = engine_kind(launch.kind);
        if kind == Kind::Openclaw && !self.settings.allow_openclaw {
            return Err(Failure::new(
                ErrorCode::Forbidden,
                "OpenClaw is switched off: start the runtime with --allow-openclaw, or with MHNOS_ALLOW_OPENCLAW=true",
            ));
        }
        let wanted = self.relative(launch.cwd.as_deref().unwrap_or("/"), Path::new(""))?;
        let (directory, found) = self.workspace.nearest_directory(&wanted).map_err(|error| {
            let root = self.workspace.root().display();
            Failure::new(
                ErrorCode::Failed,
                format!("the workspace {root} cannot be opened: {error}: make it again"),
            )
        })?;
        let notice = (found != wanted).then(|| {
            let (wanted, found) = (wanted.display(), found.display());
            format!("[mhnos-runtime] there is no folder /{wanted}: started in /{found}\r\n")
        });
        let command = match launch.command.clone() {
            Some(command) => Some(self.command(kind, command, &wanted)?),
            None => None,
        };
        let arguments =
            launch.args.iter().map(|argument| self.workspace.argument(argument.clone())).collect();
        let terminal = match (kind, launch.terminal) {
            (_, Some(size)) => Some(TerminalSize { columns: size.cols, rows: size.rows }),
            (Kind::Shell, None) => {
                Some(TerminalSize { columns: limits::TERMINAL_COLUMNS, rows: limits::TERMINAL_ROWS })
            }
            _ => None,
        };
        let toolchain = self.toolchain().await;
        let surroundings = Surroundings {
            toolchain: &toolchain,
            scratch: &self.scratch,
            workspace: self.workspace.root(),
            sandbox: self.settings.sandbox.name(),
            secret: random_hexadecimal::<24>(),
            terminal: terminal.is_some(),
        };
        let intent = Intent { kind, command, arguments, environment: launch.env };
        let invocation = program::invocation(intent, &surroundings).map_err(|error| {
            let code = match error {
                ProgramError::NotInstalled { .. } => ErrorCode::NotInstalled,
                ProgramError::Incomplete(_) => ErrorCode::Malformed,
                ProgramError::Unusable(_) => ErrorCode::Failed,
            };
            Failure::new(code, error.to_string())
        })?;
        let request = SpawnRequest {
            program: invocation.program,
            arguments: invocation.arguments,
            environment: invocation.environment,
            directory,
            directory_name: self.workspace.root().components().chain(found.components()).collect(),
            terminal,
            time_limit: launch.timeout.filter(|&timeout| timeout > 0).map(Duration::from_millis),
            notice,
            scratch_file: invocation.scratch_file,
            tag: Tag {
                kind: launch.kind,
                command: launch.command.unwrap_or_default(),
                args: launch.args,
                owner,
            },
        };
        let program = request.program.clone();
        let process = self.table.spawn(request).await.map_err(|error| {
            let code = match error {
                SpawnError::TooMany(_) => ErrorCode::Limit,
                SpawnError::Stopping | SpawnError::Failed { .. } => ErrorCode::Failed,
            };
            Failure::new(code, error.to_string())
        })?;
        let owner = &process.tag().owner;
        if !self.gate.is_allowed(owner) {
            // Revoked while it was being started, and so not among those that were ended then.
            let _ = process.end(nix::libc::SIGKILL, Duration::ZERO, EndReason::Requested).await;
            return Err(Failure::new(ErrorCode::NotAllowed, format!("{owner} is no longer allowed")));
        }
        // Written down while the answer is on its way.
        let started = Arc::clone(&process);
        tokio::spawn(async move {
            let (pid, os_pid, owner) = (started.pid(), started.os_pid(), &started.tag().owner);
            tracing::info!(pid, os_pid, program = %program.display(), %owner, "spawned");
        });
        Ok(process)
    }

    /// The command of a launch in the host's terms: for scripts, the host's path; else see [`Workspace::argument`].
    fn command(&self, kind: Kind, command: String, directory: &Path) -> Result<String, Failure> {
        let is_path = matches!(kind, Kind::Node | Kind::Python | Kind::Workerd) && !command.starts_with('-');
        if !is_path || command.is_empty() {
            return Ok(self.workspace.argument(command));
        }
        let path = self.workspace.host_path(&self.relative(&command, directory)?)?;
        path.into_os_string().into_string().map_err(|_| {
            Failure::new(ErrorCode::Failed, "the workspace's own path is not valid Unicode: choose another")
        })
    }
}

/// Refuses what no operating system could start.
fn check(launch: &Launch) -> Result<(), Failure> {
    let malformed = |error: &str| Err(Failure::new(ErrorCode::Malformed, error));
    let texts = launch.command.iter().chain(&launch.args).chain(launch.env.keys()).chain(launch.env.values());
    let (mut bytes, mut zero) = (0, false);
    for text in texts {
        bytes += text.len() + 1;
        zero |= text.contains('\0');
    }
    if zero {
        return malformed("command, arguments and environment must not contain a zero byte");
    }
    if launch.env.keys().any(|name| name.is_empty() || name.contains('=')) {
        return malformed("the name of an environment variable must not be empty or contain =");
    }
    if bytes > limits::LAUNCH_BYTES {
        let error = format!(
            "command, arguments and environment have {bytes} bytes, more than {}: pass large data in a file",
            limits::LAUNCH_BYTES
        );
        return Err(Failure::new(ErrorCode::Limit, error));
    }
    if let Some(size) = launch.terminal {
        check_terminal_size(size.cols, size.rows)?;
    }
    Ok(())
}

/// Refuses a size no terminal has.
///
/// # Errors
/// Naming the bounds.
pub fn check_terminal_size(columns: u16, rows: u16) -> Result<(), Failure> {
    let possible = limits::TERMINAL_SIZE;
    if possible.contains(&columns) && possible.contains(&rows) {
        return Ok(());
    }
    let (least, most) = (possible.start(), possible.end());
    let error = format!(
        "a terminal of {columns} columns and {rows} rows is not possible: both must be {least} to {most}"
    );
    Err(Failure::new(ErrorCode::Malformed, error))
}

fn engine_kind(kind: ProcessKind) -> Kind {
    match kind {
        ProcessKind::Node => Kind::Node,
        ProcessKind::Python => Kind::Python,
        ProcessKind::Workerd => Kind::Workerd,
        ProcessKind::Shell => Kind::Shell,
        ProcessKind::Openclaw => Kind::Openclaw,
    }
}
