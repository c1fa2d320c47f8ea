//! The echo of a terminal that is allowed, while connections that are not knock 10,000 times a second.
//!
//! Bare, the same knocks go to a thread that answers 403 to everybody, beside a terminal with nobody between: that is what the knocks
//! alone cost on a machine where those who knock have the same cores.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

use crate::Result;
use crate::keystrokes::{BareTypist, Typist};
use crate::report::{Line, Report};
use crate::runtime::Runtime;
use crate::statistics::{milliseconds, percentile};

const A_SECOND: f64 = 10_000.0;
const KNOCKERS: usize = 4;

/// As many keys as are typed in about half a second each.
const ROUNDS: usize = 4;

/// Until the knocks have reached their rate.
const SETTLED: Duration = Duration::from_millis(300);

/// Measures the echo's 99th percentile.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let runtime = Runtime::start()?;
    let bare_port = refuse_everybody()?;
    let (mut bare, mut typist) = (BareTypist::start()?, Typist::start(&runtime)?);
    let (mut bare_times, mut times) = (Vec::new(), Vec::new());
    let (mut bare_rates, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let knocking = Knocking::start(bare_port);
        bare_rates.push(knocking.rate_during(|| bare.type_keys(&mut bare_times))?);
        let knocking = Knocking::start(runtime.port);
        rates.push(knocking.rate_during(|| typist.type_keys(&mut times))?);
    }
    let slowest = |rates: &[f64]| percentile(rates, 0.0);
    let (rate, bare_rate) = (slowest(&rates), slowest(&bare_rates));
    let (bare, ours) = (percentile(&bare_times, 0.99), percentile(&times, 0.99));
    report.add(Line {
        what: "keystroke echo, p99, while connections are refused".into(),
        bare: format!("{} ({bare_rate:.0} refused a second)", milliseconds(bare)),
        ours: format!("{} ({rate:.0} refused a second)", milliseconds(ours)),
        ratio: Some(ours / bare),
        target: "<= 5 ms at 10,000 a second",
        met: ours <= 5e-3 && rate >= 0.95 * A_SECOND,
    });
    Ok(())
}

/// Threads that connect, are refused, and go.
struct Knocking {
    stop: Arc<AtomicBool>,
    refused: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Knocking {
    fn start(port: u16) -> Self {
        let (stop, refused) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let threads = (0..KNOCKERS).map(|which| {
            let (stop, refused) = (Arc::clone(&stop), Arc::clone(&refused));
            std::thread::spawn(move || {
                let request = request(port, which);
                let between = Duration::from_secs_f64(KNOCKERS as f64 / A_SECOND);
                let mut due = Instant::now();
                while !stop.load(Ordering::Relaxed) {
                    knock(port, &request)?;
                    refused.fetch_add(1, Ordering::Relaxed);
                    due += between;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                }
                Ok(())
            })
        });
        let threads = threads.collect();
        Self { stop, refused, threads }
    }

    /// Refused connections per second while `meanwhile` runs; ends the knocking.
    fn rate_during(self, meanwhile: impl FnOnce() -> Result<()>) -> Result<f64> {
        std::thread::sleep(SETTLED);
        let (before, began) = (self.refused.load(Ordering::Relaxed), Instant::now());
        let result = meanwhile();
        let rate = (self.refused.load(Ordering::Relaxed) - before) as f64 / began.elapsed().as_secs_f64();
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_| "a thread that knocks broke off")??;
        }
        result.map(|()| rate)
    }
}

/// What is refused in each of the ways that need nobody's decision.
fn request(port: u16, which: usize) -> String {
    let (host, origin) = match which % 3 {
        0 => (format!("localhost:{port}"), "Origin: null\r\n"),
        1 => (format!("evil.example:{port}"), "Origin: http://evil.example\r\n"),
        _ => (format!("localhost:{port}"), ""),
    };
    format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{origin}\r\n"
    )
}

fn knock(port: u16, request: &str) -> Result<()> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    // Or this machine would run out of ports: each stays taken for a minute after an orderly end.
    setsockopt(&socket, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 })?;
    socket.write_all(request.as_bytes())?;
    let mut status = [0; 12];
    socket.read_exact(&mut status)?;
    match &status {
        b"HTTP/1.1 403" | b"HTTP/1.1 401" => Ok(()),
        other => Err(format!("not refused: {}", String::from_utf8_lossy(other)).into()),
    }
}

/// A server that refuses whoever comes, until this program ends: its port.
fn refuse_everybody() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 1024];
            if stream.read(&mut request).is_ok() {
                let _ = stream
                    .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        }
    });
    Ok(port)
}
