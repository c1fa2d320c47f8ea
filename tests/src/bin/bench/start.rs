//! From the start of the runtime, in folders it has never seen, to the first answer that it is well.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use crate::Result;
use crate::report::{Line, Report};
use crate::runtime::Runtime;
use crate::statistics::{median, milliseconds};

const ROUNDS: usize = 10;

/// Measures cold starts; what it reads from disk is in the page cache.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        Command::new("/bin/true").status()?;
        bare.push(began.elapsed().as_secs_f64());
        let began = Instant::now();
        let runtime = Runtime::start()?;
        health(runtime.port)?;
        ours.push(began.elapsed().as_secs_f64());
    }
    let (bare, ours) = (median(&bare), median(&ours));
    report.add(Line {
        what: "start to the first `/health` 200".into(),
        bare: format!("{} (a program that does nothing)", milliseconds(bare)),
        ours: milliseconds(ours),
        ratio: None,
        target: "<= 50 ms",
        met: ours <= 0.05,
    });
    Ok(())
}

/// Asks once.
pub(crate) fn health(port: u16) -> Result<()> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    write!(socket, "GET /health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")?;
    let mut status = [0; 12];
    socket.read_exact(&mut status)?;
    if &status == b"HTTP/1.1 200" { Ok(()) } else { Err("it is not well".into()) }
}
