//! Single-use tickets, with which a page of our own (the console, the app's window) proves that a person of this machine opened it.
//!
//! A ticket is a secret of 256 bits that travels where no server and no log sees it (the fragment of an address), and is shown once, in a
//! header. It makes one connection one of the control role, and is void then. Tickets live in memory only.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mhnos_protocol::limits;

use crate::origin::Origin;
use crate::state::random_hexadecimal;

/// Tickets that were given out and not shown yet, by their BLAKE3: looking one up takes no time that depends on how much of it is right.
#[derive(Default)]
pub struct Tickets {
    live: Mutex<HashMap<blake3::Hash, Ticket>>,
}

struct Ticket {
    expires: Instant,
    /// Of the page that may show it; `None`: a page the runtime serves itself.
    origin: Option<Origin>,
}

impl Tickets {
    /// A new ticket for a page of this origin, or for one of our own.
    pub fn issue(&self, origin: Option<Origin>, lifetime: Duration) -> String {
        let secret = random_hexadecimal::<32>();
        let expires = Instant::now() + lifetime;
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|_, ticket| ticket.expires > Instant::now());
        if live.len() >= limits::TICKETS
            && let Some(oldest) =
                live.iter().min_by_key(|(_, ticket)| ticket.expires).map(|(secret, _)| *secret)
        {
            live.remove(&oldest);
        }
        live.insert(blake3::hash(secret.as_bytes()), Ticket { expires, origin });
        secret
    }

    /// Whether this ticket is good for a page of this origin. It is void then, and also if it is not.
    pub fn redeem(&self, secret: &str, origin: &Origin, is_own: bool) -> bool {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.remove(&blake3::hash(secret.as_bytes())).is_some_and(|ticket| {
            let fits = match &ticket.origin {
                Some(named) => named == origin,
                None => is_own,
            };
            fits && ticket.expires > Instant::now()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::from_header(text).unwrap()
    }

    #[test]
    fn a_ticket_is_good_once_in_time_and_for_its_page() {
        let tickets = Tickets::default();
        let (own, other) = (origin("http://localhost:18790"), origin("http://localhost:1"));
        let ticket = tickets.issue(None, Duration::from_secs(60));
        assert!(!tickets.redeem(&ticket[1..], &own, true));
        assert!(tickets.redeem(&ticket, &own, true));
        assert!(!tickets.redeem(&ticket, &own, true), "once");
        let ticket = tickets.issue(None, Duration::from_secs(60));
        assert!(!tickets.redeem(&ticket, &other, false), "not another page's");
        assert!(!tickets.redeem(&ticket, &own, true), "void after a wrong use");
        let ticket = tickets.issue(None, Duration::ZERO);
        assert!(!tickets.redeem(&ticket, &own, true), "too late");
        let ticket = tickets.issue(Some(other.clone()), Duration::from_secs(60));
        assert!(tickets.redeem(&ticket, &other, false));
    }

    #[test]
    fn tickets_are_bounded() {
        let tickets = Tickets::default();
        let own = origin("http://localhost:18790");
        let all: Vec<_> = (0..=limits::TICKETS)
            .map(|age| tickets.issue(None, Duration::from_secs(60 + age as u64)))
            .collect();
        assert!(!tickets.redeem(&all[0], &own, true));
        assert!(tickets.redeem(&all[1], &own, true));
    }
}
