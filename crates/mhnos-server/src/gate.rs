//! The gate: who may talk to the runtime, decided from facts the client cannot choose, before anything it says is parsed.
//!
//! 1. `Host` must name this machine and our port. A page that reached us under another name (DNS rebinding) stops here.
//! 2. With an `Origin`, which every browser sends and no page can change, the origin is looked up. Known: welcome. Valid but unknown:
//!    connected, and kept waiting for a person's approval. `null` or malformed: refused.
//! 3. Without one, the client is a program of this machine, and must show the token that only this user can read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, StatusCode, Uri, header};
use mhnos_protocol::v2::{KnownOrigin, OriginState};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

use crate::settings::Settings;

/// A web origin: scheme, host and port, in the form browsers send it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(String);

impl Origin {
    /// Understands the value of an `Origin` header, which browsers send in one form only: lower case, no default port, no path.
    pub fn from_header(value: &str) -> Option<Self> {
        Self::from_setting(value).filter(|origin| origin.0 == value)
    }

    /// Understands what a person writes: upper case, a default port or a slash at the end do not matter.
    pub fn from_setting(text: &str) -> Option<Self> {
        const LONGEST: usize = 300;
        let text = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
        let (scheme, authority) = text.split_once("://")?;
        let scheme_fits = scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let (host, port) = split_port(authority)?;
        if !scheme_fits || scheme == "file" || text.len() > LONGEST || !is_host(host) {
            return None;
        }
        let default = match scheme {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        };
        Some(match port.filter(|port| Some(*port) != default) {
            Some(port) => Self(format!("{scheme}://{host}:{port}")),
            None => Self(format!("{scheme}://{host}")),
        })
    }

    /// Whether the page was served from this machine.
    pub fn is_loopback(&self) -> bool {
        let Some((host, _)) = self.0.split_once("://").and_then(|(_, authority)| split_port(authority))
        else {
            return false;
        };
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || host.ends_with(".localhost")
            || address.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
            || address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether a value of `Host` is one of the names of this machine's loopback, with this port.
pub fn is_own_host(host: &str, port: u16) -> bool {
    let host = host.to_ascii_lowercase();
    split_port(&host).is_some_and(|(name, given)| {
        ["localhost", "127.0.0.1", "[::1]"].contains(&name) && given.unwrap_or(80) == port
    })
}

/// Host, as it stands, and port of `host`, `host:port` or `[address]:port`.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let end_of_host = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(end_of_host);
    if rest.is_empty() {
        return Some((host, None));
    }
    let digits = rest.strip_prefix(':')?;
    // `parse` alone would take a sign, and 0 is no port.
    let canonical = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    Some((host, Some(digits.parse().ok().filter(|_| canonical)?)))
}

/// Whether this can stand for a host in an origin.
fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

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
    allow_loopback: bool,
    token: String,
    /// Origins the settings name.
    settled: BTreeSet<Origin>,
    /// Origins a person has allowed. Connections watch it.
    allowed: watch::Sender<BTreeSet<Origin>>,
    /// How many connections of each origin wait. Held for a change of a number, never across an await.
    waiting: Mutex<BTreeMap<Origin, u32>>,
}

/// An origin that waits, for as long as this is held.
pub struct Waiting<'gate> {
    gate: &'gate Gate,
    origin: Origin,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.gate.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = waiting.get_mut(&self.origin) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.origin);
            }
        }
    }
}

impl Gate {
    /// A gate for the port that was bound. `allowed` are the origins a person has allowed before.
    pub fn new(settings: &Settings, port: u16, token: String, allowed: BTreeSet<Origin>) -> Self {
        Self {
            port,
            allowed_hosts: settings.allowed_hosts.clone(),
            allow_loopback: settings.allow_loopback_origins,
            token,
            settled: settings.allowed_origins.iter().cloned().collect(),
            allowed: watch::Sender::new(allowed),
            waiting: Mutex::default(),
        }
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
            is_own_host(host, self.port) || self.allowed_hosts.contains(&host.to_ascii_lowercase())
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
    /// 403 for an origin that is `null` or malformed, 401 for a local program without the token.
    pub fn identify(&self, headers: &HeaderMap) -> Result<Principal, Refusal> {
        if headers.contains_key(header::ORIGIN) {
            return match single(headers, header::ORIGIN).and_then(Origin::from_header) {
                Some(origin) => Ok(Principal::Page(origin)),
                None => Err(Refusal {
                    status: StatusCode::FORBIDDEN,
                    reason: "a page without an origin of its own (a file, a sandboxed frame) cannot use this runtime: serve it \
                             from http://localhost"
                        .into(),
                }),
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

    /// Whether this connection's messages may be acted on now.
    pub fn is_allowed(&self, principal: &Principal) -> bool {
        match principal {
            Principal::Control => true,
            Principal::Page(origin) => self.is_settled(origin) || self.allowed.borrow().contains(origin),
        }
    }

    /// Whether the settings allow an origin, whatever a person says meanwhile.
    pub fn is_settled(&self, origin: &Origin) -> bool {
        self.settled.contains(origin) || (self.allow_loopback && origin.is_loopback())
    }

    /// Lets an origin in from now on, also on connections that wait, or no longer. What is allowed then.
    pub fn set_allowed(&self, origin: &Origin, allow: bool) -> BTreeSet<Origin> {
        self.allowed.send_modify(|allowed| {
            if allow {
                allowed.insert(origin.clone());
            } else {
                allowed.remove(origin);
            }
        });
        self.allowed.borrow().clone()
    }

    /// Notes that a connection of this origin waits.
    pub fn note_waiting(&self, origin: &Origin) -> Waiting<'_> {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner).entry(origin.clone()).or_default() += 1;
        Waiting { gate: self, origin: origin.clone() }
    }

    /// Every origin that is named in the settings, was allowed, or waits.
    pub fn known(&self) -> Vec<KnownOrigin> {
        let mut known: BTreeMap<Origin, OriginState> = BTreeMap::new();
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(waiting.keys().cloned().map(|origin| (origin, OriginState::Waiting)));
        known.extend(self.allowed.borrow().iter().cloned().map(|origin| (origin, OriginState::Allowed)));
        known.extend(self.settled.iter().cloned().map(|origin| (origin, OriginState::AllowedBySettings)));
        known.into_iter().map(|(origin, state)| KnownOrigin { origin: origin.to_string(), state }).collect()
    }

    /// Changes whenever an origin is allowed or no longer is.
    pub fn changes(&self) -> watch::Receiver<BTreeSet<Origin>> {
        self.allowed.subscribe()
    }
}

/// The value of a header that stands exactly once and is plain text.
fn single(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests;
