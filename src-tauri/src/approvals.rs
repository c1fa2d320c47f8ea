//! Asks the person about pages that nobody has decided about yet: one prompt for each, natively, and `Deny` unless they say otherwise.
//!
//! The bridge says which pages wait. A prompt closes by itself when its page has gone, was decided about elsewhere (the window, the command
//! line), or nobody answered in time; then the page still waits, is shown as such, and is not asked about again before it comes anew.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use mhnos_protocol::v2::Request;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::desktop::Desktop;
use crate::dialogs::{self, Answer};
use crate::notifications;
use crate::snapshot::Snapshot;

/// How long a prompt stays. The page's messages wait half a minute; a person may have been away for a little longer.
const PROMPT_TIME: Duration = Duration::from_secs(120);

/// Prompts at once. Pages beyond that are asked about when one of these is answered.
const PROMPTS: usize = 3;

/// Watches for pages that wait, for as long as the app runs.
pub(crate) async fn watch(desktop: Arc<Desktop>) {
    let mut snapshot = desktop.supervisor.snapshot();
    // Asked about since they began to wait.
    let mut asked: HashSet<String> = HashSet::new();
    let mut prompts = JoinSet::new();
    loop {
        let waiting = snapshot.borrow_and_update().waiting.clone();
        asked.retain(|origin| waiting.contains(origin));
        for origin in waiting {
            if prompts.len() < PROMPTS && asked.insert(origin.clone()) {
                prompts.spawn(prompt(Arc::clone(&desktop), origin));
            }
        }
        tokio::select! {
            changed = snapshot.changed() => if changed.is_err() {
                return;
            },
            Some(_) = prompts.join_next() => {}
        }
    }
}

/// Asks about one page, and carries out what the person says.
async fn prompt(desktop: Arc<Desktop>, origin: String) {
    notifications::tell(
        &desktop,
        "A page wants to use MHNOS Runtime",
        &format!("{origin} asks to run programs. Answer in the window that is open."),
    );
    let workspace = desktop.workspace();
    let until = async {
        tokio::select! {
            () = tokio::time::sleep(PROMPT_TIME) => {}
            () = settled(desktop.supervisor.snapshot(), &origin) => {}
        }
    };
    let answer = dialogs::ask_about_page(&desktop.app, &origin, &workspace, until).await;
    let request = match answer {
        None => return,
        Some(Answer::Deny) => Request::DenyOrigin { origin: origin.clone() },
        Some(Answer::Once) => Request::AllowOrigin { origin: origin.clone(), access: None, once: true },
        Some(Answer::Always) => Request::AllowOrigin { origin: origin.clone(), access: None, once: false },
    };
    let carried_out = match desktop.supervisor.line() {
        Ok(line) => line.ask(request).await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = carried_out {
        let heading = format!("What you said about {origin} could not be carried out");
        dialogs::say(&desktop.app, heading, error.to_string()).await;
    }
}

/// Waits until a page does not wait any more.
async fn settled(mut snapshot: watch::Receiver<Snapshot>, origin: &str) {
    // The app ends: nothing waits any more.
    let _ = snapshot.wait_for(|snapshot| !snapshot.waiting.iter().any(|waiting| waiting == origin)).await;
}
