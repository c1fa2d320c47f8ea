//! From what a client asks to have started, in its own terms, to a program of this machine that runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mhnos_process::program::{self, Intent, Kind, ProgramError, Surroundings};
use mhnos_process::sandbox::Mode;
use mhnos_process::{SpawnError, SpawnRequest, TerminalSize};
use mhnos_protocol::v2::{self, ErrorCode};
use mhnos_protocol::{ProcessKind, limits};

use super::{Again, Failure, Runtime, RuntimeProcess, Tag, no_longer_allowed};
use crate::gate::Principal;
use crate::own_command;
use crate::state::random_hexadecimal;
use crate::trust::Access;
use crate::trust::audit::Fact;

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
        self.may_launch(&owner)?;
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
        let made = self.state.made();
        let surroundings = Surroundings {
            toolchain: &toolchain,
            scratch: &made,
            workspace: self.workspace.root(),
            sandbox: &self.sandbox,
            secret: random_hexadecimal::<24>(),
            terminal: terminal.is_some(),
        };
        let again = Again {
            cwd: launch.cwd,
            env: launch.env.clone(),
            timeout: launch.timeout,
            terminal: launch.terminal,
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
        let confinement = self
            .sandbox
            .confine(&toolchain, &invocation.program, &invocation.folders)
            .map_err(|error| Failure::new(ErrorCode::Failed, error.to_string()))?;
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
            confinement,
            tag: Tag {
                kind: launch.kind,
                command: launch.command.unwrap_or_default(),
                args: launch.args,
                owner,
                again,
            },
        };
        let program = request.program.clone();
        let owner = request.tag.owner.clone();
        // Looked at again at the last moment, and held until the process can be found: who revokes it in between waits, and then ends it.
        let permit = self.trust.permit(&owner, Access::Full).await;
        let permit = permit.ok_or_else(|| no_longer_allowed(&owner))?;
        let spawned = self.table.spawn(request).await;
        drop(permit);
        let process = spawned.map_err(|error| {
            let code = match error {
                SpawnError::TooMany(_) => ErrorCode::Limit,
                SpawnError::Stopping | SpawnError::Failed { .. } => ErrorCode::Failed,
            };
            let hint = self.hint(&error);
            Failure::new(code, format!("{error}{hint}"))
        })?;
        self.trust.audit.write(Fact::Spawned {
            pid: process.pid(),
            by: owner.to_string(),
            program: format!("{} {}", process.tag().kind.name(), process.tag().command),
            directory: process.directory().display().to_string(),
        });
        // Written down while the answer is on its way.
        let started = Arc::clone(&process);
        tokio::spawn(async move {
            let (pid, os_pid, owner) = (started.pid(), started.os_pid(), &started.tag().owner);
            tracing::info!(pid, os_pid, program = %program.display(), %owner, "spawned");
        });
        Ok(process)
    }

    /// Starts a program anew as it was started, for whom it was started, once it has ended.
    ///
    /// # Errors
    /// When there is no such process, it cannot be ended, or as [`Self::launch`].
    pub async fn restart(&self, principal: &Principal, pid: u32) -> Result<Arc<RuntimeProcess>, Failure> {
        let process = self.process(principal, pid)?;
        let (tag, again) = (process.tag(), &process.tag().again);
        // Before anything is ended: a program that could not be started anew goes on.
        self.may_launch(&tag.owner)?;
        if process.exit().is_none() {
            match self.kill(principal, pid, None, limits::KILL_GRACE).await {
                Err(failure) if failure.code != ErrorCode::Ended => return Err(failure),
                _ => {}
            }
        }
        let launch = Launch {
            kind: tag.kind,
            command: Some(tag.command.clone()).filter(|command| !command.is_empty()),
            args: tag.args.clone(),
            cwd: again.cwd.clone(),
            env: again.env.clone(),
            timeout: again.timeout,
            terminal: again.terminal,
        };
        self.launch(tag.owner.clone(), launch).await
    }

    /// Whether this client may run programs.
    pub(super) fn may_run(&self, owner: &Principal) -> Result<(), Failure> {
        match self.trust.access(owner) {
            Some(Access::Full) => Ok(()),
            Some(Access::Files) => {
                let error = format!(
                    "{owner} may read and change files of the workspace, but not run programs: run: {} origins allow {owner}",
                    own_command::name()
                );
                Err(Failure::new(ErrorCode::Forbidden, error))
            }
            None => Err(no_longer_allowed(owner)),
        }
    }

    /// Whether this client may run programs at all, and one more now.
    fn may_launch(&self, owner: &Principal) -> Result<(), Failure> {
        self.may_run(owner)?;
        if !self.trust.may_spawn_now(owner) {
            let error = format!("{owner} starts too many programs in a row: wait a moment");
            return Err(Failure::new(ErrorCode::Limit, error));
        }
        Ok(())
    }

    /// What else may be the matter where the operating system refused: that a sandbox did, nobody would guess.
    fn hint(&self, error: &SpawnError) -> String {
        let refused = match error {
            SpawnError::Failed { error, .. } => error.kind() == std::io::ErrorKind::PermissionDenied,
            SpawnError::TooMany(_) | SpawnError::Stopping => false,
        };
        let mode = self.sandbox.mode();
        if !refused || mode != Mode::Strict {
            return String::new();
        }
        let workspace = self.workspace.root().display();
        format!(
            ": in the sandbox {} only programs of the system, of the toolchain and of the workspace {workspace} can be started",
            mode.name()
        )
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
