//! The gate: who may talk to the runtime, decided from facts the client cannot choose, before anything it says is parsed.
//!
//! 1. `Host` must name this machine and our port. A page that reached us under another name (DNS rebinding) stops here.
//! 2. With an `Origin`, which every browser sends and no page can change, the client is a page of that origin; what it may do is
//!    [`trust`](crate::trust)'s to say. `null` or malformed: refused. A page of our own is let in with a ticket, and not otherwise.
//! 3. Without one, the client is a program of this machine, and must show the token that only this user can read.
//!
//! Programs that come through the Unix socket of the state folder do not pass here: there the kernel says who they are ([`crate::control`]).

use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, Uri, header};
use mhnos_protocol::v2;
use subtle::ConstantTimeEq;

use crate::origin::{Origin, is_loopback_host, is_own_host};
use crate::trust::Trust;

/// Who a connection belongs to. Everything it may see and touch follows from this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A program of this user with the token: sees all.
    Control,
    /// A web page: sees what its origin started.
    Page(Origin),
}

impl Principal {
    /// Whether it may see and touch what `owner` started.
    pub fn may_touch(&self, owner: &Self) -> bool {
        matches!(self, Self::Control) || self == owner
    }

    /// The origin, if it is a page.
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Control => None,
            Self::Page(origin) => Some(origin),
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Control => formatter.write_str("a local program"),
            Self::Page(origin) => origin.fmt(formatter),
        }
    }
}

/// A refusal: the status, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Of the response.
    pub status: StatusCode,
    /// What happened and what to do.
    pub reason: String,
}

/// What the gate knows.
pub struct Gate {
    port: u16,
    allowed_hosts: Vec<String>,
    /// Whether this machine's own names are accepted with any port.
    any_port: bool,
    token: String,
    trust: Arc<Trust>,
}

impl Gate {
    /// A gate for the port that was bound. `allowed_hosts` are further values of `Host`, in lower case; the word `loopback` stands
    /// for this machine's own names with any port, because in a container the port that is published is not known.
    pub fn new(allowed_hosts: Vec<String>, port: u16, token: String, trust: Arc<Trust>) -> Self {
        let any_port = allowed_hosts.iter().any(|host| host == "loopback");
        Self { port, allowed_hosts, any_port, token, trust }
    }

    /// What it is told about pages.
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// The port that was bound.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the request was sent to this machine under a name of its own.
    ///
    /// # Errors
    /// 403 for every other name, for none, and for more than one.
    pub fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = single(headers, header::HOST).filter(|host| {
            // A request line may name a host of its own, which then counts for the server behind a proxy.
            uri.authority().is_none_or(|authority| authority.as_str() == *host)
        });
        let accepted = host.is_some_and(|host| {
            is_own_host(host, self.port)
                || (self.any_port && is_loopback_host(host))
                || self.allowed_hosts.contains(&host.to_ascii_lowercase())
        });
        if accepted {
            return Ok(());
        }
        let reason = format!("this runtime is addressed as localhost:{}, and under no other name", self.port);
        Err(Refusal { status: StatusCode::FORBIDDEN, reason })
    }

    /// Whose connection this would be.
    ///
    /// # Errors
    /// 403 for an origin that is `null` or malformed, and for a ticket that is not good; 401 for a local program without the token.
    pub fn identify(&self, headers: &HeaderMap) -> Result<Principal, Refusal> {
        if headers.contains_key(header::ORIGIN) {
            let refused = |reason: &str| Refusal { status: StatusCode::FORBIDDEN, reason: reason.into() };
            let origin = single(headers, header::ORIGIN).and_then(Origin::from_header).ok_or_else(|| {
                refused(
                    "a page without an origin of its own (a file, a sandboxed frame) cannot use this runtime: serve it from \
                     http://localhost",
                )
            })?;
            let is_own = self.is_own(&origin);
            return match ticket(headers) {
                Some(ticket) if self.trust.tickets.redeem(ticket, &origin, is_own) => Ok(Principal::Control),
                Some(_) => Err(refused(
                    "this ticket is used up or too old: open the page anew with `mhnos-runtime console`",
                )),
                None if is_own => Err(refused(
                    "the runtime's own page needs a ticket: open it with `mhnos-runtime console`",
                )),
                None => Ok(Principal::Page(origin)),
            };
        }
        let given = single(headers, header::AUTHORIZATION)
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        if bool::from(given.as_bytes().ct_eq(self.token.as_bytes())) {
            return Ok(Principal::Control);
        }
        Err(Refusal {
            status: StatusCode::UNAUTHORIZED,
            reason: "a program that is not a web page shows its token: send `Authorization: Bearer <token>` with the content of the \
                     file `token` in the runtime's state folder"
                .into(),
        })
    }

    /// Whether a page of this origin was served by the runtime itself.
    fn is_own(&self, origin: &Origin) -> bool {
        origin.to_string().strip_prefix("http://").is_some_and(|host| is_own_host(host, self.port))
    }
}

/// The ticket a page shows: browsers let it choose no other header than this one.
fn ticket(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|offer| offer.trim().strip_prefix(v2::TICKET_SUBPROTOCOL))
}

/// The value of a header that stands exactly once and is plain text.
fn single(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests;
