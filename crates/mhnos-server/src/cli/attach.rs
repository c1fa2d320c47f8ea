//! `attach`: joins a program that runs, or looks at one that ended.

use mhnos_protocol::v2::Process;
use mhnos_server::state::StateDirectory;

use super::arguments::AttachArguments;
use super::client::Client;
use super::failure::Failure;
use super::session::link::Link;
use super::session::{self, Plan};
use super::{ps, spawn};

pub(crate) async fn run(state: &StateDirectory, arguments: &AttachArguments) -> Result<i32, Failure> {
    let client = Client::connect(state).await?;
    let process = find(&client, arguments.pid).await?;
    let (link, attached) = Link::attach(client, arguments.pid, None).await?;
    let plan = Plan {
        terminal: process.terminal,
        own: false,
        detach_key: arguments.detach_key,
        // Nothing can be typed into a program that has ended.
        input: !arguments.no_input && process.exit.is_none(),
        replayed_to: attached.to,
        from: attached.from,
    };
    let outcome = session::run(state, link, plan).await?;
    Ok(spawn::code(arguments.pid, &outcome))
}

async fn find(client: &Client, pid: u32) -> Result<Process, Failure> {
    let (processes, _) = ps::list(client).await?;
    processes.into_iter().find(|process| process.pid == pid).ok_or(Failure::NoProcess(pid))
}
