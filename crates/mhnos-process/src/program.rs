//! How the kinds of program are called.
//!
//! An [`Intent`] is what somebody asked for, its paths already those of the host; [`Invocation`] is the executable, arguments and
//! environment that carry it out. Programs are found by the [`Toolchain`], and started with a clean environment: `PATH`, `LANG`,
//! `TERM`, `TZ`, what the sandbox says (`HOME`, and more where it is closed) and what the intent adds, nothing of the runtime's own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use crate::sandbox::{Mode, Sandbox};
use crate::toolchain::{self, Toolchain};

mod workerd;

/// The kinds of program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A script, by Node.js.
    Node,
    /// A script, by Python 3.
    Python,
    /// A configuration or a module, by workerd.
    Workerd,
    /// A program in a terminal; without a name, the person's shell.
    Shell,
    /// The OpenClaw agent.
    Openclaw,
}

/// What somebody asked for.
#[derive(Clone, Debug)]
pub struct Intent {
    /// Which kind.
    pub kind: Kind,
    /// Script, configuration, module or shell.
    pub command: Option<String>,
    /// What follows the command.
    pub arguments: Vec<String>,
    /// Beside the clean environment, and before it.
    pub environment: BTreeMap<String, String>,
}

/// What carrying it out needs to know.
#[derive(Clone, Debug)]
pub struct Surroundings<'a> {
    /// Where the programs are.
    pub toolchain: &'a Toolchain,
    /// A folder of the runtime's own for files a program needs at its start.
    pub scratch: &'a Path,
    /// The workspace.
    pub workspace: &'a Path,
    /// What it runs in.
    pub sandbox: &'a Sandbox,
    /// A fresh secret, for programs that need one.
    pub secret: String,
    /// Whether it gets a terminal.
    pub terminal: bool,
}

/// What carries an intent out.
#[derive(Debug)]
pub struct Invocation {
    /// The executable, absolute.
    pub program: PathBuf,
    /// Its arguments, without its own name.
    pub arguments: Vec<OsString>,
    /// All of its environment.
    pub environment: Vec<(OsString, OsString)>,
    /// A file it needs, removed when this is dropped.
    pub scratch_file: Option<TempPath>,
    /// Folders it writes besides those that every program may.
    pub folders: Vec<PathBuf>,
}

/// Why there is no way to carry an intent out.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not on this machine.
    #[error("{name} is not installed: {remedy}")]
    NotInstalled {
        /// Of the program.
        name: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Nothing was named.
    #[error("{0}")]
    Incomplete(&'static str),
    /// What was named cannot be used.
    #[error("{0}")]
    Unusable(String),
}

const NODE_REMEDY: &str = "install Node.js 20 or newer (package `nodejs`, or nvm), then spawn again";
const PYTHON_REMEDY: &str = "install Python 3 (package `python3`), then spawn again";
const WORKERD_REMEDY: &str = "npm install -g workerd";
const OPENCLAW_REMEDY: &str = "npm install -g openclaw (it needs Node.js 24)";
const SHELL_REMEDY: &str = "install it, or name another program";

/// Finds out how to carry an intent out.
///
/// # Errors
/// When the program is not installed, or what it should run was not named or cannot be used.
pub fn invocation(intent: Intent, surroundings: &Surroundings) -> Result<Invocation, ProgramError> {
    let Intent { kind, command, arguments, mut environment } = intent;
    let find = |names: &[&str], remedy| {
        names.iter().find_map(|name| surroundings.toolchain.find(name)).ok_or_else(|| {
            ProgramError::NotInstalled { name: names.first().copied().unwrap_or_default().to_owned(), remedy }
        })
    };
    let script = |command: Option<String>, missing| {
        command.filter(|command| !command.is_empty()).ok_or(ProgramError::Incomplete(missing))
    };
    let (mut scratch_file, mut folders) = (None, Vec::new());
    let (program, arguments) = match kind {
        Kind::Node => {
            let script =
                script(command, "node needs a `command`: the script to run, or an option such as -e")?;
            (find(&["node"], NODE_REMEDY)?, prepend(script, arguments))
        }
        Kind::Python => {
            let script =
                script(command, "python needs a `command`: the script to run, or an option such as -c")?;
            (find(&["python3", "python"], PYTHON_REMEDY)?, prepend(script, arguments))
        }
        Kind::Workerd => {
            let named = script(
                command,
                "workerd needs a `command`: a .capnp configuration, or a .js, .mjs or .ts module",
            )?;
            let program = find(&["workerd"], WORKERD_REMEDY)?;
            let serve =
                workerd::serve(&named, environment.get("PORT").map(String::as_str), surroundings.scratch)?;
            scratch_file = serve.configuration;
            (program, serve.arguments.into_iter().chain(arguments).collect())
        }
        Kind::Shell => shell(command, arguments, surroundings.toolchain)?,
        Kind::Openclaw => {
            let program = find(&["openclaw"], OPENCLAW_REMEDY)?;
            let arguments = openclaw(command, arguments, &mut environment, surroundings)?;
            if surroundings.sandbox.mode() != Mode::None {
                folders.extend(locks_of_openclaw(Path::new("/tmp")));
            }
            (program, arguments)
        }
    };
    let environment = complete(environment, kind, &program, surroundings);
    let arguments = arguments.into_iter().map(OsString::from).collect();
    Ok(Invocation { program, arguments, environment, scratch_file, folders })
}

fn prepend(first: String, mut rest: Vec<String>) -> Vec<String> {
    rest.insert(0, first);
    rest
}

/// A program for a terminal: a path, a name, the person's shell in place of one that is not here, or a line for it.
fn shell(
    command: Option<String>,
    arguments: Vec<String>,
    toolchain: &Toolchain,
) -> Result<(PathBuf, Vec<String>), ProgramError> {
    let Some(command) = command.filter(|command| !command.is_empty()) else {
        return Ok((toolchain::login_shell(), arguments));
    };
    let path = Path::new(&command);
    if path.is_absolute() && toolchain::is_executable(path) {
        return Ok((path.to_owned(), arguments));
    }
    if let Some(program) = toolchain.find(&command) {
        return Ok((program, arguments));
    }
    const SHELLS: [&str; 6] = ["bash", "sh", "zsh", "fish", "dash", "ksh"];
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if SHELLS.contains(&name) {
        return Ok((toolchain::login_shell(), arguments));
    }
    if command.contains(char::is_whitespace) && arguments.is_empty() {
        return Ok((toolchain::login_shell(), vec!["-c".into(), command]));
    }
    Err(ProgramError::NotInstalled { name: command, remedy: SHELL_REMEDY })
}

/// Adds what today's gateway cannot do without, where the person left it out.
fn openclaw(
    command: Option<String>,
    mut arguments: Vec<String>,
    environment: &mut BTreeMap<String, String>,
    surroundings: &Surroundings,
) -> Result<Vec<String>, ProgramError> {
    let command = command.filter(|command| !command.is_empty()).unwrap_or_else(|| "gateway".into());
    let given = |arguments: &[String], option: &str| {
        arguments.iter().any(|argument| {
            argument == option || argument.strip_prefix(option).is_some_and(|rest| rest.starts_with('='))
        })
    };
    let starts_gateway = command == "gateway" && arguments.first().is_none_or(|first| first.starts_with('-'));
    if starts_gateway {
        if !given(&arguments, "--allow-unconfigured") {
            arguments.push("--allow-unconfigured".into());
        }
        if !given(&arguments, "--bind") {
            arguments.extend(["--bind".into(), "loopback".into()]);
        }
        if !given(&arguments, "--port") {
            arguments.extend(["--port".into(), free_port()?.to_string()]);
        }
        if !given(&arguments, "--token") && !given(&arguments, "--auth") {
            environment.entry("OPENCLAW_GATEWAY_TOKEN".into()).or_insert_with(|| surroundings.secret.clone());
        }
    }
    let workspace = surroundings.workspace.display().to_string();
    environment.entry("OPENCLAW_WORKSPACE".into()).or_insert(workspace);
    environment
        .entry("OPENCLAW_SANDBOX".into())
        .or_insert_with(|| surroundings.sandbox.mode().name().to_owned());
    Ok(prepend(command, arguments))
}

/// The folder in `parent` in which OpenClaw keeps its locks, made where it is not there: it cannot be told to keep them elsewhere, and a
/// sandbox does not let it make one there. Only where it is ours alone: anybody may plant something of this name.
fn locks_of_openclaw(parent: &Path) -> Option<PathBuf> {
    let user = nix::unistd::geteuid();
    let folder = parent.join(format!("openclaw-state-locks-{user}"));
    // There already: then what counts is what it is.
    let _ = fs::DirBuilder::new().mode(0o700).create(&folder);
    let found = folder.symlink_metadata().ok()?;
    let ours_alone = found.is_dir() && found.uid() == user.as_raw() && found.mode() & 0o022 == 0;
    ours_alone.then_some(folder)
}

/// A port that is free now. Somebody else may take it before it is used: then the program says so and ends.
fn free_port() -> Result<u16, ProgramError> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| ProgramError::Unusable(format!("no free port could be found: {error}")))
}

/// The clean environment, with what was asked for in front of it.
fn complete(
    asked: BTreeMap<String, String>,
    kind: Kind,
    program: &Path,
    surroundings: &Surroundings,
) -> Vec<(OsString, OsString)> {
    let inherited = |name: &str| std::env::var_os(name);
    let mut path = surroundings.toolchain.path_variable();
    if kind == Kind::Openclaw
        && let Some(folder) = program.parent()
    {
        // It is a script that asks for `node`: the one installed beside it is the one it was installed with.
        let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
        path = std::env::join_paths(folders).unwrap_or(path);
    }
    let mut environment: BTreeMap<OsString, OsString> = BTreeMap::new();
    environment.insert("PATH".into(), path);
    environment.extend(surroundings.sandbox.environment());
    environment.insert("LANG".into(), inherited("LANG").unwrap_or_else(|| "C.UTF-8".into()));
    environment.insert("TERM".into(), if surroundings.terminal { "xterm-256color" } else { "dumb" }.into());
    if let Some(zone) = inherited("TZ") {
        environment.insert("TZ".into(), zone);
    }
    if let Some(folder) = surroundings.toolchain.volta() {
        // Its programs look for what they stand for in the home, which in a sandbox is another.
        environment.insert("VOLTA_HOME".into(), folder.into());
    }
    environment.extend(asked.into_iter().map(|(name, value)| (name.into(), value.into())));
    environment.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Places, Support};

    fn sandbox() -> Sandbox {
        let folder = |name: &str| Path::new("/state").join(name);
        let places = Places {
            workspace: "/ws".into(),
            home: folder("home"),
            temporary: folder("tmp"),
            made: folder("made"),
            closed: folder(""),
        };
        Sandbox::new(Mode::Strict, &Support::Landlock(7), places)
    }

    fn invoke(kind: Kind, command: Option<&str>, arguments: &[&str]) -> Result<Invocation, ProgramError> {
        let toolchain = Toolchain::new(["/bin:/usr/bin".into()]);
        let surroundings = Surroundings {
            toolchain: &toolchain,
            scratch: Path::new("/tmp"),
            workspace: Path::new("/ws"),
            sandbox: &sandbox(),
            secret: "s3cret".into(),
            terminal: kind == Kind::Shell,
        };
        let intent = Intent {
            kind,
            command: command.map(str::to_owned),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            environment: [("A".to_owned(), "b".to_owned())].into(),
        };
        invocation(intent, &surroundings)
    }

    #[test]
    fn a_shell_is_a_path_a_name_the_persons_own_or_a_line() {
        assert_eq!(invoke(Kind::Shell, Some("/bin/sh"), &[]).unwrap().program, Path::new("/bin/sh"));
        assert_eq!(invoke(Kind::Shell, Some("ls"), &[]).unwrap().program, Path::new("/bin/ls"));
        let own = toolchain::login_shell();
        assert_eq!(invoke(Kind::Shell, None, &[]).unwrap().program, own);
        assert_eq!(invoke(Kind::Shell, Some("/opt/none/zsh"), &[]).unwrap().program, own);
        let line = invoke(Kind::Shell, Some("ls -l"), &[]).unwrap();
        assert_eq!((line.program, line.arguments), (own, vec!["-c".into(), "ls -l".into()]));
        let error = invoke(Kind::Shell, Some("no-such-program"), &[]).unwrap_err().to_string();
        assert_eq!(error, "no-such-program is not installed: install it, or name another program");
    }

    #[test]
    fn the_environment_is_clean() {
        let environment = invoke(Kind::Shell, Some("sh"), &[]).unwrap().environment;
        let names: Vec<_> =
            environment.iter().map(|(name, _)| name.to_str().unwrap()).filter(|&name| name != "TZ").collect();
        assert_eq!(names, ["A", "HOME", "LANG", "PATH", "TERM", "TMPDIR"]);
    }

    #[test]
    fn voltas_programs_are_told_where_it_is() {
        let toolchain = Toolchain::new(["/bin:/home/me/.volta/bin".into()]);
        let sandbox = sandbox();
        let surroundings = Surroundings {
            toolchain: &toolchain,
            scratch: Path::new("/tmp"),
            workspace: Path::new("/ws"),
            sandbox: &sandbox,
            secret: String::new(),
            terminal: false,
        };
        let environment = complete(BTreeMap::new(), Kind::Shell, Path::new("/bin/sh"), &surroundings);
        assert!(environment.contains(&("VOLTA_HOME".into(), "/home/me/.volta".into())), "{environment:?}");
    }

    #[test]
    fn what_is_missing_is_said_with_what_to_do() {
        assert!(invoke(Kind::Node, None, &[]).unwrap_err().to_string().starts_with("node needs a `command`"));
        let error = invoke(Kind::Workerd, Some("/ws/a.capnp"), &[]).unwrap_err().to_string();
        assert_eq!(error, "workerd is not installed: npm install -g workerd");
    }

    #[test]
    fn locks_are_kept_only_in_a_folder_of_our_own() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let parent = tempfile::tempdir().unwrap();
        let folder = locks_of_openclaw(parent.path()).unwrap();
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(locks_of_openclaw(parent.path()), Some(folder.clone()));
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(locks_of_openclaw(parent.path()), None);
        fs::remove_dir(&folder).unwrap();
        symlink("/", &folder).unwrap();
        assert_eq!(locks_of_openclaw(parent.path()), None);
    }

    #[test]
    fn a_bare_gateway_gets_what_it_cannot_do_without_and_other_arguments_pass() {
        let toolchain = Toolchain::default();
        let surroundings = Surroundings {
            toolchain: &toolchain,
            scratch: Path::new("/tmp"),
            workspace: Path::new("/ws"),
            sandbox: &sandbox(),
            secret: "s3cret".into(),
            terminal: false,
        };
        let mut environment = BTreeMap::new();
        let bare = openclaw(Some("gateway".into()), vec![], &mut environment, &surroundings).unwrap();
        assert_eq!(bare[..5], ["gateway", "--allow-unconfigured", "--bind", "loopback", "--port"]);
        assert_eq!(environment["OPENCLAW_GATEWAY_TOKEN"], "s3cret");
        assert_eq!(environment["OPENCLAW_WORKSPACE"], "/ws");

        let mut environment = BTreeMap::new();
        let arguments = vec!["--port=1".to_owned(), "--token".to_owned(), "x".to_owned()];
        let given = openclaw(None, arguments, &mut environment, &surroundings).unwrap();
        assert_eq!(
            given,
            ["gateway", "--port=1", "--token", "x", "--allow-unconfigured", "--bind", "loopback"]
        );
        assert!(!environment.contains_key("OPENCLAW_GATEWAY_TOKEN"));
        let other = openclaw(Some("doctor".into()), vec![], &mut environment, &surroundings).unwrap();
        assert_eq!(other, ["doctor"]);
    }
}
