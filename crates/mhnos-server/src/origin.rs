//! Web origins and values of `Host`: understood strictly, because decisions hang on them.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// How a client on this machine calls it.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

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
    split_port(&host)
        .is_some_and(|(name, given)| LOOPBACK_NAMES.contains(&name) && given.unwrap_or(80) == port)
}

/// Whether a value of `Host` is one of the names of this machine's loopback, with any port.
pub fn is_loopback_host(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    split_port(&host).is_some_and(|(name, _)| LOOPBACK_NAMES.contains(&name))
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
