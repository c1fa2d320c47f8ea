//! The console: the pages of `ui/`, which the runtime serves itself, at its own address.
//!
//! They hold no secret and can be loaded by anybody who reaches the port; what makes them more than a picture is the ticket in the
//! address's fragment, which no request carries. They may load nothing from elsewhere and stand in nobody's frame.
//! Their files are in this program (`build.rs`); one that was built without them says so in their place.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// A file of the pages.
struct Asset {
    /// As it is asked for, without the `/` in front.
    path: &'static str,
    kind: &'static str,
    content: &'static [u8],
}

const ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/console_assets.rs"));

const PAGE: &str = "index.html";

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>MHNOS Runtime</title>\
    <h1>The console is not part of this build</h1>\
    <p>This runtime works, but was built without its pages. Build it with <code>cargo xtask run</code>.</p></html>";

/// What the page loads. The page itself stands at `/`.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/assets/{*path}", get(async |Path(path): Path<String>| file(&format!("assets/{path}"))))
}

/// The page, for the port it is served on.
pub(crate) fn page(port: u16) -> Response {
    // A terminal styles its cells with rules that it makes as it goes: hence the word about styles. Scripts are only our own files.
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
         connect-src 'self' ws://localhost:{port} ws://127.0.0.1:{port}; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    let page = match find(PAGE) {
        Some(asset) => served(asset.kind, "no-store", asset.content),
        None => (
            StatusCode::SERVICE_UNAVAILABLE,
            served("text/html; charset=utf-8", "no-store", NOT_BUILT.as_bytes()),
        )
            .into_response(),
    };
    ([(header::CONTENT_SECURITY_POLICY, policy)], page).into_response()
}

fn file(path: &str) -> Response {
    match find(path) {
        // Their names change with their content.
        Some(asset) => served(asset.kind, "max-age=31536000, immutable", asset.content),
        None => (StatusCode::NOT_FOUND, "the console has no such file: load its page anew\n").into_response(),
    }
}

fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

fn served(kind: &'static str, kept: &'static str, content: &'static [u8]) -> Response {
    const SAME_ORIGIN: &str = "same-origin";
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, kept),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), SAME_ORIGIN),
        (HeaderName::from_static("cross-origin-resource-policy"), SAME_ORIGIN),
    ];
    (headers, content).into_response()
}
