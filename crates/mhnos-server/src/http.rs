//! The HTTP side: accepts connections, answers `/health`, serves the console's page, and upgrades `/` to a WebSocket.
//!
//! Every request passes the gate's look at `Host` first. An upgraded connection leaves HTTP for good: the plain socket is handed to
//! `connection`.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use mhnos_protocol::{limits, v2};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tungstenite::handshake::derive_accept_key;

use crate::client_script;
use crate::connection::{self, Admission, Protocol};
use crate::console;
use crate::gate::{Principal, Refusal};
use crate::runtime::Runtime;
use crate::socket::Socket;
use crate::trust::RefusalLog;

/// What the handlers need.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) stopping: watch::Receiver<bool>,
    refusals: Arc<RefusalLog>,
}

impl Shared {
    pub(crate) fn new(runtime: Arc<Runtime>, stopping: watch::Receiver<bool>) -> Self {
        Self { runtime, stopping, refusals: Arc::default() }
    }
}

/// Serves connections of a bound listener until `stopping` becomes true.
pub async fn serve(listener: TcpListener, runtime: Arc<Runtime>, mut stopping: watch::Receiver<bool>) {
    let shared = Shared::new(runtime, stopping.clone());
    let router = Router::new()
        .route("/", any(root))
        .route("/health", get(health))
        .route("/client.js", get(client_script::serve))
        .merge(console::routes())
        .fallback(async || {
            (StatusCode::NOT_FOUND, "there is nothing here: the runtime is at / (WebSocket) and /health\n")
        })
        .layer(middleware::from_fn_with_state(shared.clone(), check_host))
        .with_state(shared);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                if let Err(error) = tune(&socket) {
                    tracing::debug!(%peer, %error, "a socket could not be tuned");
                }
                accept(socket, router.clone(), stopping.clone());
            }
            Err(error) => {
                // Out of descriptors, most likely: those who are connected may give some back.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

/// Speaks HTTP on a socket until it is upgraded, or ends.
pub(crate) fn accept<S: Socket>(socket: S, router: Router, mut stopping: watch::Receiver<bool>) {
    tokio::spawn(async move {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits::HANDSHAKE_TIME)
            .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router))
            .with_upgrades();
        tokio::select! {
            served = connection => if let Err(error) = served {
                tracing::debug!(%error, "a request broke off");
            },
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    });
}

/// Bytes the kernel takes ahead of what the client has read. Beyond a frame or two, replies could not overtake output.
const UNSENT_BYTES: u32 = 256 << 10;

fn tune(socket: &TcpStream) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    socket.set_nodelay(true)?;
    let value = UNSENT_BYTES;
    // SAFETY: setsockopt reads one integer of the given size. nix has no name for this option.
    #[allow(unsafe_code, reason = "an option that no safe wrapper knows")]
    let result = unsafe {
        nix::libc::setsockopt(
            socket.as_raw_fd(),
            nix::libc::IPPROTO_TCP,
            nix::libc::TCP_NOTSENT_LOWAT,
            (&raw const value).cast(),
            size_of_val(&value) as nix::libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, self.reason + "\n").into_response()
    }
}

async fn check_host(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    match shared.runtime.gate.check_host(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            shared.refusals.note(|| format!("{:?} is not our name", request.headers().get(header::HOST)));
            refusal.into_response()
        }
    }
}

async fn health(State(shared): State<Shared>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(shared.runtime.health())).into_response()
}

async fn root(State(shared): State<Shared>, request: Request) -> Response {
    let headers = request.headers();
    if accept_key(&request).is_none() {
        let is_navigation = [header::UPGRADE, header::SEC_WEBSOCKET_KEY, header::ORIGIN]
            .iter()
            .all(|name| !headers.contains_key(name));
        if is_navigation && request.method() == Method::GET {
            return console::page(shared.runtime.gate.port());
        }
    }
    let principal = match shared.runtime.gate.identify(headers) {
        Ok(principal) => principal,
        Err(refusal) => {
            shared.refusals.note(|| format!("{} from {:?}", refusal.status, headers.get(header::ORIGIN)));
            return refusal.into_response();
        }
    };
    upgrade::<TcpStream>(shared, request, principal)
}

/// Makes a WebSocket of a request of somebody who is known by now.
pub(crate) fn upgrade<S: Socket>(shared: Shared, mut request: Request, principal: Principal) -> Response {
    let Some(accept_key) = accept_key(&request) else {
        let sentence = "this is the runtime's WebSocket: connect to it with `runtime connect` in MHNOS\n";
        return (StatusCode::UPGRADE_REQUIRED, [(header::UPGRADE, "websocket")], sentence).into_response();
    };
    let headers = request.headers();
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return (StatusCode::UPGRADE_REQUIRED, [(header::SEC_WEBSOCKET_VERSION, "13")], "use version 13\n")
            .into_response();
    }
    let protocol = protocol(headers);
    let Some(count) = shared.runtime.count_connection() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many connections are open: close some\n")
            .into_response();
    };
    let entered = match principal.origin().map(|origin| shared.runtime.trust.enter(origin)).transpose() {
        Ok(entered) => entered,
        Err(refusal) => {
            shared.refusals.note(|| format!("{} from {principal}", refusal.status));
            return refusal.into_response();
        }
    };
    let admission = Admission { principal, entered, count };
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let parts = match upgraded.await.map(|upgraded| upgraded.downcast::<TokioIo<S>>()) {
            Ok(Ok(parts)) => parts,
            Ok(Err(_)) | Err(_) => return tracing::debug!("an upgrade broke off"),
        };
        let (runtime, stopping) = (shared.runtime, shared.stopping);
        let socket = parts.io.into_inner();
        connection::serve(runtime, socket, parts.read_buf, admission, protocol, stopping).await;
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept_key);
    if protocol == Protocol::V2 {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(v2::SUBPROTOCOL));
    }
    response
}

/// What proves to the client that its handshake was understood; `None` where the request is no handshake.
fn accept_key(request: &Request) -> Option<HeaderValue> {
    let headers = request.headers();
    let names = |name, wanted: &str| tokens(headers, name).any(|token| token.eq_ignore_ascii_case(wanted));
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?;
    // RFC 6455, 4.1: of HTTP/1.0 there is no way to another protocol.
    let handshake = request.method() == Method::GET
        && request.version() >= Version::HTTP_11
        && names(header::CONNECTION, "upgrade")
        && names(header::UPGRADE, "websocket");
    handshake.then(|| HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()).flatten()
}

/// 2.0 where the client offers it.
fn protocol(headers: &HeaderMap) -> Protocol {
    let offers = tokens(headers, header::SEC_WEBSOCKET_PROTOCOL).any(|token| token == v2::SUBPROTOCOL);
    if offers { Protocol::V2 } else { Protocol::V1 }
}

/// The members of a header that is a list.
fn tokens(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}
