//! The wire between a browser tab (or any other client) and the runtime.
//!
//! Two protocols share one port. [`v1`] is what the published MHNOS speaks: JSON text only, output as strings,
//! files as arrays of numbers. [`v2`] is negotiated with the WebSocket subprotocol [`v2::SUBPROTOCOL`]: JSON for
//! control, binary frames ([`frame`]) for bytes, and records in such frames ([`sync`]) for two-way sync. All are described for people in `docs/protocol.md` and `docs/sync.md`.
//!
//! This crate only names and checks messages; it knows no process, no file and no socket. What a message means is
//! decided in `mhnos-server`, whose own types are not these. Every number that bounds something stands in [`limits`].
//! The TypeScript types of 2.0 are generated from here ([`typescript`]).

pub mod frame;
pub mod limits;
mod number_arrays;
pub mod sync;
pub mod v1;
pub mod v2;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

pub use v2::typescript::typescript;

/// Correlates a request with its reply. The reply repeats what the request carried, text or number alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(untagged)]
pub enum RequestId {
    /// What the published client sends, such as `req-7`.
    Text(String),
    /// A non-negative number, usual in 2.0.
    Number(u32),
}

impl From<&str> for RequestId {
    fn from(id: &str) -> Self {
        Self::Text(id.to_owned())
    }
}

/// The kinds of program the runtime starts, under the names both protocols use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum ProcessKind {
    /// A script run by Node.js.
    Node,
    /// A script run by Python 3.
    Python,
    /// A configuration or a module run by Cloudflare's workerd.
    Workerd,
    /// A program in a terminal; without a name, the person's shell.
    Shell,
    /// The OpenClaw agent.
    Openclaw,
}

impl ProcessKind {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Python => "python",
            Self::Workerd => "workerd",
            Self::Shell => "shell",
            Self::Openclaw => "openclaw",
        }
    }
}

/// Answer of `GET /health`: constant shape, no secrets, the same fields as the first bridge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Always `ok`: a runtime that cannot answer does not answer.
    pub status: String,
    /// Seconds since the runtime began to listen.
    pub uptime: f64,
    /// How many processes there were and are.
    pub processes: ProcessCounts,
}

/// Counts of processes since the runtime started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ProcessCounts {
    /// Started since the runtime began.
    pub total_spawned: u32,
    /// Of these, ended because somebody asked for it (or a limit did).
    pub total_killed: u32,
    /// Running now.
    pub active: u32,
}

/// A request that cannot be carried out as it stands: whose it is, if that could be read, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The request's `id`, if one could be made out.
    pub id: Option<RequestId>,
    /// A sentence for a person.
    pub error: String,
}

/// The two fields every message has, read before anything else of it.
#[derive(Deserialize)]
struct Envelope {
    r#type: String,
    #[serde(default)]
    id: Option<RequestId>,
}

impl Envelope {
    /// Reads `type` and `id`; when that fails, what can still be said about the message.
    fn read(text: &str) -> Result<Self, Malformed> {
        serde_json::from_str(text).map_err(|_| {
            #[derive(Deserialize)]
            struct Loose {
                r#type: Option<serde_json::Value>,
                id: Option<serde_json::Value>,
            }
            let Ok(loose) = serde_json::from_str::<Loose>(text) else {
                return Malformed { id: None, error: "Invalid message format".into() };
            };
            let id = loose.id.and_then(|id| serde_json::from_value(id).ok());
            let error = match loose.r#type {
                Some(serde_json::Value::String(_)) => "the field `id` must be a string or a whole number",
                Some(_) => "the field `type` must be a string",
                None => "the message has no field `type`",
            };
            Malformed { id, error: error.into() }
        })
    }

    /// Reads the fields that belong to this message's type.
    fn body<'text, T: Deserialize<'text>>(&self, text: &'text str) -> Result<T, Malformed> {
        serde_json::from_str(text).map_err(|error| {
            let error = error.to_string();
            // The position is of no use to a person: the message is on one line and may be 100 MB long.
            let reason = error.rsplit_once(" at line ").map_or(error.as_str(), |(reason, _)| reason);
            self.malformed(format!("{} was not understood: {reason}", self.r#type))
        })
    }

    fn malformed(&self, error: String) -> Malformed {
        Malformed { id: self.id.clone(), error }
    }
}

/// Serializes one of this crate's messages, none of which can fail to be JSON (no map with other keys than strings).
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The `id` of a message of which only the first bytes were kept (it was too large to read whole), if it stands in
/// the message's own fields before the first nested one.
pub fn id_of_prefix(prefix: &[u8]) -> Option<RequestId> {
    let text = match std::str::from_utf8(prefix) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&prefix[..error.valid_up_to()]).ok()?,
    };
    let mut rest = text.trim_start().strip_prefix('{')?;
    loop {
        let mut fields = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let key = fields.next()?.ok()?;
        rest = rest[fields.byte_offset()..].trim_start().strip_prefix(':')?;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<serde_json::Value>();
        let value = values.next()?.ok()?;
        if key == "id" {
            return serde_json::from_value(value).ok();
        }
        rest = rest[values.byte_offset()..].trim_start().strip_prefix(',')?.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_an_oversized_message_is_found_when_it_stands_before_the_bulk() {
        let prefix =
            br#" {"type":"fsync", "id":"req-9","operation":"push","files":[{"path":"/a","content":[1,2"#;
        assert_eq!(id_of_prefix(prefix), Some("req-9".into()));
        assert_eq!(id_of_prefix(br#"{"id":12,"data":"xxxx"#), Some(RequestId::Number(12)));
        assert_eq!(id_of_prefix(br#"{"type":"write","data":"xxxx"#), None);
        assert_eq!(id_of_prefix(br#"{"type":{"id":"req-1"},"data":"xxxx"#), None);
        assert_eq!(id_of_prefix(b"[1,2"), None);
        assert_eq!(id_of_prefix(b"{\"a\":\"\xff"), None);
    }

    #[test]
    fn what_cannot_be_read_still_names_the_request() {
        let read = |text| match Envelope::read(text) {
            Ok(_) => panic!("understood"),
            Err(malformed) => (malformed.id, malformed.error),
        };
        assert_eq!(read("nonsense"), (None, "Invalid message format".into()));
        assert_eq!(read("[1]").0, None);
        assert_eq!(
            read(r#"{"id":"req-1"}"#),
            (Some("req-1".into()), "the message has no field `type`".into())
        );
        assert_eq!(read(r#"{"id":"req-1","type":7}"#).0, Some("req-1".into()));
        assert_eq!(read(r#"{"id":{},"type":"ping"}"#).0, None);
    }
}
