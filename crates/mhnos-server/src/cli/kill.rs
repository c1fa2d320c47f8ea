//! `kill`: ends programs and says what became of all they had started.

use futures_util::future::join_all;
use mhnos_protocol::v2::{Member, Reply, Request};
use mhnos_server::state::StateDirectory;
use serde::Serialize;

use super::arguments::{KillArguments, milliseconds};
use super::client::{Client, unexpected};
use super::failure::Failure;
use super::format::plain;
use super::output;

#[derive(Serialize)]
#[serde(untagged)]
enum Outcome {
    #[serde(rename_all = "camelCase")]
    Killed {
        pid: u32,
        signalled: Vec<Member>,
        forced: Vec<Member>,
        survived: Vec<Member>,
    },
    Failed {
        pid: u32,
        error: String,
    },
}

pub(crate) async fn run(
    state: &StateDirectory,
    arguments: &KillArguments,
    as_json: bool,
) -> Result<i32, Failure> {
    let client = Client::connect(state).await?;
    let outcomes = join_all(arguments.pids.iter().map(|pid| kill(&client, *pid, arguments))).await;
    client.close().await;
    let complete = outcomes
        .iter()
        .all(|outcome| matches!(outcome, Outcome::Killed { survived, .. } if survived.is_empty()));
    if as_json {
        output::json(&outcomes)?;
        return Ok(output::code(complete));
    }
    for outcome in &outcomes {
        let line = sentence(outcome);
        match outcome {
            Outcome::Killed { .. } => output::text(&format!("{line}\n"))?,
            Outcome::Failed { .. } => super::terminal::say(line),
        }
    }
    Ok(output::code(complete))
}

async fn kill(client: &Client, pid: u32, arguments: &KillArguments) -> Outcome {
    let request = Request::Kill {
        pid,
        signal: Some(arguments.signal.clone()),
        grace: arguments.grace.map(milliseconds),
    };
    let failure = match client.request(request).await {
        Ok(Reply::Killed { signalled, forced, survived, .. }) => {
            return Outcome::Killed { pid, signalled, forced, survived };
        }
        Ok(other) => unexpected(&other),
        Err(failure) => failure.about_process(pid),
    };
    Outcome::Failed { pid, error: failure.to_string() }
}

fn sentence(outcome: &Outcome) -> String {
    let (pid, signalled, forced, survived) = match outcome {
        Outcome::Killed { pid, signalled, forced, survived } => (pid, signalled, forced, survived),
        Outcome::Failed { error, .. } => return plain(error),
    };
    let gone: Vec<&Member> =
        signalled.iter().filter(|member| !forced.contains(member) && !survived.contains(member)).collect();
    let mut parts = Vec::new();
    for (what, members) in
        [("ended", gone), ("forced", forced.iter().collect()), ("still alive", survived.iter().collect())]
    {
        if !members.is_empty() {
            parts.push(format!("{what} {}", names(&members)));
        }
    }
    match parts.is_empty() {
        true => format!("{pid}: nothing was running any more"),
        false => format!("{pid}: {}", parts.join("; ")),
    }
}

fn names(members: &[&Member]) -> String {
    let name = |member: &&Member| format!("{} ({})", plain(&member.name), member.os_pid);
    members.iter().map(name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_tells_what_became_of_each() {
        let member = |os_pid, name: &str| Member { os_pid, name: name.into() };
        let outcome = Outcome::Killed {
            pid: 1000,
            signalled: vec![member(1, "node"), member(2, "sh"), member(3, "dd")],
            forced: vec![member(2, "sh")],
            survived: vec![member(3, "dd")],
        };
        assert_eq!(sentence(&outcome), "1000: ended node (1); forced sh (2); still alive dd (3)");
        let outcome =
            Outcome::Killed { pid: 7, signalled: Vec::new(), forced: Vec::new(), survived: Vec::new() };
        assert_eq!(sentence(&outcome), "7: nothing was running any more");
    }
}
