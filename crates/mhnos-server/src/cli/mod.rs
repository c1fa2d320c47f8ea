//! The command line of `mhnos-runtime`: what a person or a script asks of the runtime from a shell.
//!
//! Each subcommand is a module. Those that talk to a running runtime find it through the state folder and speak 2.0 over
//! one connection ([`client`]). Staying with a program (`spawn`, `attach`) is a [`session`]; folders go through [`files`].
//! Every way out passes [`output::finish`], so a failure is always one sentence (or one JSON document) and a code.
//!
//! Everything but `serve` runs on a single thread; what blocks (files, standard streams) is handed to others.

mod arguments;
mod attach;
mod audit;
mod client;
mod console;
mod docker;
mod doctor;
mod failure;
mod files;
mod format;
mod health;
mod kill;
mod logs;
mod origins;
mod output;
mod ps;
mod runtime_log;
mod session;
mod spawn;
mod sync;
mod terminal;

use std::path::Path;

use clap::{CommandFactory, Parser};
use mhnos_server::state::StateDirectory;

use self::arguments::{Arguments, Command, GlobalArguments, Question};
use self::failure::{Failure, SUCCESS};

/// Does what the command line asks for and says with which code to end.
pub(crate) fn run() -> i32 {
    let Arguments { global, command } =
        Arguments::try_parse().unwrap_or_else(|error| output::misunderstood(&error));
    let as_json = global.json;
    let result = match command {
        // The server makes a runtime of threads for itself.
        Command::Serve(arguments) => mhnos_server::serve::run(arguments, global.state_dir)
            .map(|()| SUCCESS)
            .map_err(|error| Failure::Other(error.to_string())),
        Command::Ask(question) => on_one_thread(question, global),
    };
    output::finish(result, as_json)
}

fn on_one_thread(question: Question, global: GlobalArguments) -> Result<i32, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::system("start", &error))?;
    let result = runtime.block_on(answer(question, global));
    // A thread may still be blocked on standard input or a held terminal: nothing it does matters any more.
    runtime.shutdown_background();
    result
}

async fn answer(question: Question, global: GlobalArguments) -> Result<i32, Failure> {
    let GlobalArguments { state_dir, json } = global;
    let open = || StateDirectory::open(state_dir.as_deref());
    match question {
        Question::Health => health::run(&open()?, json).await,
        Question::Ps(arguments) => ps::run(&open()?, &arguments, json).await,
        Question::Spawn(arguments) => spawn::run(&open()?, arguments, json).await,
        Question::Attach(arguments) => attach::run(&open()?, &arguments).await,
        Question::Logs(arguments) => logs::run(&open()?, &arguments, json).await,
        Question::Kill(arguments) => kill::run(&open()?, &arguments, json).await,
        Question::Push(arguments) => files::push::run(&open()?, &arguments, json).await,
        Question::Pull(arguments) => files::pull::run(&open()?, &arguments, json).await,
        Question::Origins(command) => origins::run(&open()?, command, json).await,
        Question::Sync(command) => sync::run(&open()?, command, json).await,
        Question::Console(arguments) => console::run(&open()?, &arguments, json).await,
        Question::Audit(arguments) => audit::run(&open()?, &arguments, json),
        Question::Doctor(arguments) => doctor::run(open(), arguments, json).await,
        Question::Docker(command) => docker::run(command, json).await,
        Question::Completions(arguments) => completions(arguments.shell),
        Question::Manual { folder } => manual(&folder),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<i32, Failure> {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    output::text(&String::from_utf8_lossy(&script))?;
    Ok(SUCCESS)
}

/// A page for the command and one for each of its subcommands, in section 1.
fn manual(folder: &Path) -> Result<i32, Failure> {
    // Clap writes its own `help` pages into the list otherwise.
    let command = Arguments::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, folder)
        .map_err(|error| Failure::system("write the manual pages", &error))?;
    Ok(SUCCESS)
}
