//! `GET /client.js`: the client library, for pages that a person has allowed.
//!
//! A page loads it with one `import`, which the browser sends with the page's origin and gives to the page only if the answer names that origin. A page
//! that nobody has decided about is asked about, and its request is held for as long as a person may be expected to answer, so that
//! the one line works the first time as well.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mhnos_protocol::limits;

use crate::gate::{Principal, Refusal};
use crate::http::Shared;
use crate::origin::Origin;
use crate::trust::{self, Trust};

/// Empty when the program was built without it.
const SCRIPT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/client.js"));

pub(crate) async fn serve(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    if SCRIPT.is_empty() {
        let sentence = "this runtime was built without the client library: build it with `cargo xtask run`\n";
        return (StatusCode::SERVICE_UNAVAILABLE, sentence).into_response();
    }
    // Without an origin it is a page of our own, or somebody who is not in a browser; the browser keeps it from all others.
    let Some(value) = headers.get(header::ORIGIN) else { return script() };
    let Some(origin) = value.to_str().ok().and_then(Origin::from_header) else {
        let reason = "only a page with an origin of its own may load this".into();
        return Refusal { status: StatusCode::FORBIDDEN, reason }.into_response();
    };
    if let Err(refusal) = allowed(&shared.runtime.trust, &origin).await {
        return refusal.into_response();
    }
    ([(header::ACCESS_CONTROL_ALLOW_ORIGIN, value.clone())], script()).into_response()
}

/// Waits until a person has allowed the page.
async fn allowed(trust: &Arc<Trust>, origin: &Origin) -> Result<(), Refusal> {
    let page = Principal::Page(origin.clone());
    let mut changes = trust.changes();
    let _entered = trust.enter(origin)?;
    let decided = async {
        while trust.access(&page).is_none() {
            if trust.is_denied(origin) || changes.changed().await.is_err() {
                return false;
            }
        }
        true
    };
    match tokio::time::timeout(limits::WAITING_TIME, decided).await {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(Refusal { status: StatusCode::FORBIDDEN, reason: trust::sentence(origin) }),
    }
}

fn script() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // What is answered depends on who asks.
        (header::VARY, "Origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    (headers, SCRIPT).into_response()
}
