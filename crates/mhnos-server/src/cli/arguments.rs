//! The command line's grammar. What each subcommand does stands in the module of its name.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use mhnos_protocol::ProcessKind;
use mhnos_server::settings::ServeArguments;

use super::docker::DockerCommand;
use super::terminal::detach_key::DetachKey;

#[derive(Parser)]
#[command(
    name = "mhnos-runtime",
    version,
    about = "Runs real programs on this machine for MHNOS, the operating system in a browser tab",
    disable_help_subcommand = true
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: GlobalArguments,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Args)]
pub(crate) struct GlobalArguments {
    /// Folder where the runtime keeps its token, settings and logs [env: MHNOS_STATE_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Answer with one JSON document instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start the runtime and keep it running
    Serve(ServeArguments),
    #[command(flatten)]
    Ask(Question),
}

/// What is asked of a runtime that runs, or of this machine.
#[derive(Subcommand)]
pub(crate) enum Question {
    /// Say whether the runtime is up and how it is doing
    Health,
    /// List programs
    Ps(PsArguments),
    /// Start a program and stay with it
    Spawn(SpawnArguments),
    /// Join a running program: see its output, type into it
    Attach(AttachArguments),
    /// Show what a program printed, or the runtime's own log
    Logs(LogsArguments),
    /// End programs and everything they started
    Kill(KillArguments),
    /// Copy a folder into the workspace
    Push(PushArguments),
    /// Copy the workspace, or a folder of it, into a folder here
    Pull(PullArguments),
    /// Which web pages may use the runtime: list them, allow, deny or revoke one
    #[command(subcommand)]
    Origins(OriginsCommand),
    /// How the workspace and the browsers' disks stand to each other, and what to do about conflicts
    #[command(subcommand)]
    Sync(SyncCommand),
    /// Open the runtime's own page in the browser: answer pages that wait, see and end programs
    Console(ConsoleArguments),
    /// Who was let in, and what was started and ended
    Audit(AuditArguments),
    /// Check this machine: programs, port, workspace, permissions
    ///
    /// Takes the flags of `serve` and checks whether a runtime started with them would work.
    Doctor(ServeArguments),
    /// The runtime in a container, with everything it needs inside
    #[command(subcommand)]
    Docker(DockerCommand),
    /// Print the completion script of a shell
    Completions(CompletionsArguments),
    /// Write the manual pages into a folder
    // For those who make packages: `man mhnos-runtime` is what everybody else wants.
    #[command(hide = true)]
    Manual {
        /// Where to; it has to be there
        folder: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct PsArguments {
    /// Also those that ended and can still be looked at
    #[arg(short, long)]
    pub(crate) all: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    mhnos-runtime spawn node server.js\n  \
    mhnos-runtime spawn node -- -e 'console.log(1 + 1)'\n  \
    mhnos-runtime spawn shell\n\n\
    The program's exit code becomes this command's. Ctrl-C is passed on to the program.")]
pub(crate) struct SpawnArguments {
    /// What runs it: node, python, workerd, shell or openclaw
    #[arg(value_parser = kind_parser(), hide_possible_values = true)]
    pub(crate) kind: ProcessKind,
    /// Script, configuration or shell; a path of the workspace
    pub(crate) command: Option<String>,
    /// Arguments for it; those that begin with `-` come after `--`
    pub(crate) args: Vec<String>,
    /// Folder of the workspace to run in
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cwd: Option<String>,
    /// Set an environment variable; without a value, the one it has here
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = parse_variable)]
    pub(crate) env: Vec<(String, String)>,
    /// End it after this time, such as 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Run it in a terminal (a shell always has one)
    #[arg(short, long)]
    pub(crate) terminal: bool,
    /// Print its number and return at once
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Key that leaves the program running and returns
    #[arg(long, value_name = "KEY", default_value_t)]
    pub(crate) detach_key: DetachKey,
}

#[derive(Args)]
#[command(
    after_help = "Leave with the detach key (in a terminal) or Ctrl-C (without one); the program runs on.\n\
    The exit code is the program's, if it ends while you watch."
)]
pub(crate) struct AttachArguments {
    /// Number of the program, as `ps` shows it
    pub(crate) pid: u32,
    /// Key that leaves the program running and returns: ctrl- and a letter or one of @[\]^_, or `none`
    #[arg(long, value_name = "KEY", default_value_t)]
    pub(crate) detach_key: DetachKey,
    /// Only watch
    #[arg(long)]
    pub(crate) no_input: bool,
}

#[derive(Args)]
pub(crate) struct LogsArguments {
    /// Number of the program; without it, the runtime's own log
    pub(crate) pid: Option<u32>,
    /// Wait for more
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last lines
    #[arg(short = 'n', long, value_name = "LINES")]
    pub(crate) tail: Option<usize>,
}

#[derive(Args)]
pub(crate) struct KillArguments {
    /// Numbers of the programs, as `ps` shows them
    #[arg(required = true, value_name = "PID")]
    pub(crate) pids: Vec<u32>,
    /// Signal to send first, by name or number
    #[arg(short, long, default_value = "SIGTERM", value_parser = parse_signal)]
    pub(crate) signal: String,
    /// Time they have before they are forced, such as 10s [default: 5s]
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) grace: Option<Duration>,
}

#[derive(Subcommand)]
pub(crate) enum OriginsCommand {
    /// Show the pages that were decided about and those that wait
    List,
    /// Show the pages that wait for an answer
    Pending {
        /// Wait for more, until Ctrl-C
        #[arg(short, long)]
        follow: bool,
    },
    /// Let a page run programs and change files of the workspace, from now on
    Allow {
        /// Its address up to the port, such as http://localhost:8000
        origin: String,
        /// Only until it is closed (it may be away for a minute, to load anew)
        #[arg(long)]
        once: bool,
        /// Only files of the workspace, no programs
        #[arg(long)]
        files_only: bool,
    },
    /// Do not let a page in, and do not be asked about it for a while (ten minutes, then twice as long each time)
    Deny {
        /// Its address up to the port, such as http://localhost:8000
        origin: String,
    },
    /// Take back what was decided about a page, close its connections and end what it started
    Revoke {
        /// Its address up to the port, such as http://localhost:8000
        origin: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum SyncCommand {
    /// Show what is equal, what is on its way and what is in the way
    Status {
        /// Go on showing it, until Ctrl-C
        #[arg(short, long)]
        follow: bool,
    },
    /// Show files that were changed on both sides
    Conflicts,
    /// Settle a conflict
    Resolve {
        /// Path of the other version, as `conflicts` shows it
        path: String,
        /// Which to keep: the one that has the name, the copy (which takes the name), or both
        #[arg(long, value_enum)]
        keep: KeepArgument,
    },
    /// Show earlier contents of files that were replaced or removed
    Versions {
        /// Of this file, or of the files in this folder
        path: Option<String>,
    },
    /// Put an earlier content back
    Restore {
        /// Its number, as `versions` shows it
        version: u64,
        /// Path to put it to [default: where it was]
        #[arg(long, value_name = "PATH")]
        to: Option<String>,
    },
    /// Do nothing until `resume`
    Pause,
    /// Go on
    Resume,
    /// Look at everything again, on all sides
    Rescan,
    /// Carry out deletions that were held back because there were so many
    Confirm {
        /// Key of the disk, as `status` shows it [default: all that are halted]
        replica: Option<String>,
    },
    /// Give back what was missing on a disk, in place of deleting it everywhere
    Undelete {
        /// Key of the disk, as `status` shows it [default: all that are halted]
        replica: Option<String>,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum KeepArgument {
    /// The version that has the name
    Name,
    /// The copy, which takes the name
    Copy,
    /// Both
    Both,
}

#[derive(Args)]
pub(crate) struct ConsoleArguments {
    /// Only print the address
    #[arg(long)]
    pub(crate) no_open: bool,
}

#[derive(Args)]
pub(crate) struct AuditArguments {
    /// Look whether every line is as it was written and none is missing
    #[arg(long)]
    pub(crate) verify: bool,
    /// Only the last entries
    #[arg(short = 'n', long, value_name = "ENTRIES", conflicts_with = "verify")]
    pub(crate) tail: Option<usize>,
}

#[derive(Args)]
pub(crate) struct PushArguments {
    /// Folder on this machine; what is in it is copied
    pub(crate) folder: PathBuf,
    /// Folder of the workspace [default: the workspace itself]
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
    pub(crate) to: String,
    /// Also node_modules, .git, dist, .cache and what .mhnosignore names
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Args)]
pub(crate) struct PullArguments {
    /// Folder on this machine; made if it is not there
    pub(crate) folder: PathBuf,
    /// Folder of the workspace [default: the workspace itself]
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
    pub(crate) from: String,
    /// Also node_modules, .git, dist, .cache and what .mhnosignore names
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Args)]
pub(crate) struct CompletionsArguments {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

const KINDS: [ProcessKind; 5] =
    [ProcessKind::Node, ProcessKind::Python, ProcessKind::Workerd, ProcessKind::Shell, ProcessKind::Openclaw];

fn kind_parser() -> impl TypedValueParser<Value = ProcessKind> {
    PossibleValuesParser::new(KINDS.map(ProcessKind::name))
        .try_map(|name| KINDS.into_iter().find(|kind| kind.name() == name).ok_or("not a kind of program"))
}

/// `NAME=VALUE`, or `NAME` for the value it has in this command's own environment.
fn parse_variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, value.to_owned()),
        None => match std::env::var(text) {
            Ok(value) => (text, value),
            Err(_) => return Err(format!("{text} is not set here: write {text}=value")),
        },
    };
    if name.is_empty() {
        return Err("the name before `=` is missing".into());
    }
    Ok((name.to_owned(), value))
}

/// `500ms`, `30s`, `5m`, `2h`; a bare number means seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|character: char| character.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let milliseconds_per_unit = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("write a time such as 500ms, 30s, 5m or 2h".into()),
    };
    let number: u64 = number.parse().map_err(|_| "write a time such as 500ms, 30s, 5m or 2h".to_owned())?;
    // The wire's numbers stay below 2^53.
    let milliseconds =
        number.checked_mul(milliseconds_per_unit).filter(|milliseconds| *milliseconds < 1 << 53);
    Ok(Duration::from_millis(milliseconds.ok_or("that is too long a time")?))
}

/// A time as the wire counts it.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// `TERM`, `SIGTERM`, `sigterm` and `15` are all `SIGTERM`.
fn parse_signal(text: &str) -> Result<String, String> {
    use nix::sys::signal::Signal;
    let known = match text.parse::<i32>() {
        Ok(number) => Signal::try_from(number).ok(),
        Err(_) => {
            let name = text.to_ascii_uppercase();
            let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
            name.parse().ok()
        }
    };
    known.map(|signal| signal.as_str().to_owned()).ok_or_else(|| "there is no such signal".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse_spawn(line: &[&str]) -> SpawnArguments {
        let line = ["mhnos-runtime", "spawn"].iter().chain(line);
        match Arguments::try_parse_from(line).unwrap().command {
            Command::Ask(Question::Spawn(arguments)) => arguments,
            _ => panic!("not a spawn"),
        }
    }

    #[test]
    fn the_grammar_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_of_the_program_stand_behind_two_dashes() {
        let spawn = parse_spawn(&["node", "app.js", "3000", "--cwd", "app", "--", "--port", "1"]);
        assert_eq!(spawn.command.as_deref(), Some("app.js"));
        assert_eq!(spawn.args, ["3000", "--port", "1"]);
        assert_eq!(spawn.cwd.as_deref(), Some("app"));
        let spawn = parse_spawn(&["node", "-d", "--", "-e", "1"]);
        assert!(spawn.detach);
        assert_eq!((spawn.command.as_deref(), spawn.args.len()), (Some("-e"), 1));
        assert!(Arguments::try_parse_from(["mhnos-runtime", "spawn", "perl"]).is_err());
    }

    #[test]
    fn times_are_read() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("3"), Ok(Duration::from_secs(3)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7200)));
        for wrong in ["", "s", "1d", "-1s", "1.5s", "99999999999999999h"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn signals_have_one_name() {
        for text in ["TERM", "SIGTERM", "sigterm", "15"] {
            assert_eq!(parse_signal(text).as_deref(), Ok("SIGTERM"));
        }
        assert!(parse_signal("0").is_err());
        assert!(parse_signal("DANCE").is_err());
    }

    #[test]
    fn variables_have_a_name() {
        assert_eq!(parse_variable("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert!(parse_variable("=c").is_err());
        assert!(parse_variable("MHNOS_SURELY_NOT_SET").is_err());
    }
}
