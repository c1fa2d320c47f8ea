//! What a connection costs until it is greeted, beside a server that accepts and upgrades whoever comes.
//!
//! The bare server is one thread that waits for connections, with the same WebSocket library and a greeting as long as ours. So the
//! difference is more than the gate: it is all that the runtime does for a connection before its first message.

use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Instant;

use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::Result;
use crate::client::{Client, Protocol};
use crate::report::{Line, Report};
use crate::runtime::Runtime;
use crate::statistics::{median, milliseconds, percentile};

const PAGE: &str = "http://allowed.example";

const ROUNDS: usize = 20;
const CONNECTIONS_A_ROUND: usize = 50;

/// About what a greeting is.
const GREETING_BYTES: usize = 200;

/// Measures a local program and an allowed page.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let runtime = Runtime::start_with(&["--allow-origin", PAGE])?;
    let bare = accept_everybody()?;
    let credentials = [format!("Authorization: Bearer {}", runtime.token), format!("Origin: {PAGE}")];
    let mut bare_times = Vec::new();
    let mut times = <[Vec<f64>; 2]>::default();
    for _ in 0..ROUNDS {
        connect(bare, &credentials[0], &mut bare_times)?;
        for (credentials, times) in credentials.iter().zip(&mut times) {
            connect(runtime.port, credentials, times)?;
        }
    }
    for (who, times) in ["the token", "an allowed page"].into_iter().zip(&times) {
        let added = median(times) - median(&bare_times);
        let shown = |times| {
            let fastest = milliseconds(percentile(times, 0.1));
            format!("{} (fastest tenth {fastest})", milliseconds(median(times)))
        };
        report.add(Line {
            what: format!("connection to its greeting, {who}"),
            bare: shown(&bare_times),
            ours: format!("{}, {} more", shown(times), milliseconds(added)),
            ratio: Some(median(times) / median(&bare_times)),
            target: "<= 0.05 ms more",
            met: added <= 50e-6,
        });
    }
    Ok(())
}

/// Seconds from the first packet to the greeting, one connection after the other.
fn connect(port: u16, credentials: &str, times: &mut Vec<f64>) -> Result<()> {
    for _ in 0..CONNECTIONS_A_ROUND {
        let began = Instant::now();
        let client = Client::connect(port, credentials, Protocol::V2)?;
        times.push(began.elapsed().as_secs_f64());
        drop(client);
    }
    Ok(())
}

/// A server that greets whoever comes, until this program ends: its port.
fn accept_everybody() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    // What is over is closed elsewhere, so that nobody waits for that.
    let (over, done) = mpsc::channel::<WebSocket<TcpStream>>();
    std::thread::spawn(move || done.into_iter().for_each(drop));
    std::thread::spawn(move || {
        let greeting = Message::text("x".repeat(GREETING_BYTES));
        for stream in listener.incoming().flatten() {
            let _ = stream.set_nodelay(true);
            if let Ok(mut socket) = tungstenite::accept(stream)
                && socket.send(greeting.clone()).is_ok()
            {
                let _ = over.send(socket);
            }
        }
    });
    Ok(port)
}
