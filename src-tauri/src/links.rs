//! Links of the scheme `mhnos:`, which any page and any program can open. So they do nothing by themselves: they ask.

use std::sync::Arc;

use mhnos_protocol::v2::Request;
use mhnos_server::origin::Origin;
use url::Url;

use crate::desktop::Desktop;
use crate::dialogs::{self, Answer};

/// Why a link is not followed that names none.
const NO_PAGE: &str =
    "The address in it is not that of a web page: it has to begin with http:// or https://.";

/// The page that `mhnos://connect?url=<address>` wants to connect.
///
/// # Errors
/// A sentence that says why it is no such link.
fn page(link: &str) -> Result<(Origin, Url), String> {
    let unknown =
        || "It is not of the form mhnos://connect?url=http://host:port: open the page itself.".to_owned();
    let link = Url::parse(link).map_err(|_| unknown())?;
    if link.scheme() != "mhnos" || link.host_str() != Some("connect") {
        return Err(unknown());
    }
    let (_, address) = link.query_pairs().find(|(name, _)| name == "url").ok_or_else(unknown)?;
    let address = Url::parse(&address).map_err(|_| NO_PAGE.to_owned())?;
    if !matches!(address.scheme(), "http" | "https") {
        return Err(NO_PAGE.into());
    }
    let origin = Origin::from_setting(&address.origin().ascii_serialization());
    Ok((origin.ok_or(NO_PAGE)?, address))
}

/// Asks about the page a link names; allowed, it is opened. What comes while one is asked about is not followed: whoever opens many
/// must not cover the screen with prompts.
pub(crate) async fn open(desktop: Arc<Desktop>, link: String) {
    let Ok(_only) = desktop.link.try_lock() else {
        return tracing::warn!("another link came while one is asked about, and is not followed");
    };
    let (origin, address) = match page(&link) {
        Ok(page) => page,
        Err(why) => {
            tracing::warn!(%why, "a link was not followed");
            return dialogs::say(&desktop.app, "A link could not be followed".into(), why).await;
        }
    };
    let origin = origin.to_string();
    let once =
        match dialogs::ask_about_page(&desktop.app, &origin, &desktop.workspace(), std::future::pending())
            .await
        {
            Some(Answer::Once) => true,
            Some(Answer::Always) => false,
            Some(Answer::Deny) | None => return,
        };
    let allowed = match desktop.supervisor.line() {
        Ok(line) => {
            line.ask(Request::AllowOrigin { origin: origin.clone(), access: None, once }).await.map(drop)
        }
        Err(error) => Err(error),
    };
    match allowed {
        Ok(()) => {
            if let Err(error) = open::that_detached(address.as_str()) {
                dialogs::say(
                    &desktop.app,
                    format!("{origin} is allowed, but no browser could be opened"),
                    error.to_string(),
                )
                .await;
            }
        }
        Err(error) => {
            dialogs::say(&desktop.app, format!("{origin} could not be allowed"), error.to_string()).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_pages_can_be_named() {
        let (origin, address) = page("mhnos://connect?url=http%3A%2F%2Flocalhost%3A8000%2Fa").unwrap();
        assert_eq!((origin.to_string().as_str(), address.path()), ("http://localhost:8000", "/a"));
        for wrong in [
            "mhnos://connect",
            "mhnos://connect?url=file:///etc/passwd",
            "mhnos://connect?url=javascript:alert(1)",
            "mhnos://connect?url=x",
            "mhnos://delete?url=http://localhost:8000",
            "http://connect?url=http://localhost:8000",
        ] {
            assert!(page(wrong).is_err(), "{wrong}");
        }
    }
}
