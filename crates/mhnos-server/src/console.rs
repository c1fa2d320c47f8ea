//! The console: a page the runtime serves itself, on which a person answers pages that wait and sees what runs.
//!
//! The page holds no secret and can be loaded by anybody who reaches the port; what makes it more than a picture is the ticket in its
//! address's fragment, which no request carries. It may load nothing from elsewhere and stand in nobody's frame.

use axum::Router;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const PAGE: &str = include_str!("console/console.html");
const SCRIPT: &str = include_str!("console/console.js");
const STYLE: &str = include_str!("console/console.css");

/// What the page loads. The page itself stands at `/`.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/console.js", get(async || asset("text/javascript; charset=utf-8", SCRIPT)))
        .route("/console.css", get(async || asset("text/css; charset=utf-8", STYLE)))
}

/// The page, for the port it is served on.
pub(crate) fn page(port: u16) -> Response {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws://localhost:{port} ws://127.0.0.1:{port} \
         ws://[::1]:{port}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    ([(header::CONTENT_SECURITY_POLICY, policy)], asset("text/html; charset=utf-8", PAGE)).into_response()
}

fn asset(kind: &'static str, content: &'static str) -> Response {
    const SAME_ORIGIN: &str = "same-origin";
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), SAME_ORIGIN),
        (HeaderName::from_static("cross-origin-resource-policy"), SAME_ORIGIN),
    ];
    (headers, content).into_response()
}
