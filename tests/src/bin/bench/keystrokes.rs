//! A keystroke's way to a program in a terminal and its echo's way back.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::Result;
use crate::bare::{PipeToTcp, Terminal};
use crate::client::{Client, Message, Protocol, WINDOW};
use crate::flood::Flood;
use crate::program::Role;
use crate::report::{Line, Report};
use crate::runtime::Runtime;
use crate::statistics::{milliseconds, percentile};

const ROUNDS: usize = 4;
const KEYS_A_ROUND: usize = 500;

/// Between an echo and the next keystroke: so that everyone has gone to sleep.
const PAUSE: Duration = Duration::from_micros(200);

/// Measures while nothing else happens, and while another program floods another viewer.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let runtime = Runtime::start()?;
    let mut typist = Typist::start(&runtime)?;
    let mut bare = BareTypist::start()?;
    let (mut bare_times, mut times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.type_keys(&mut bare_times)?;
        typist.type_keys(&mut times)?;
    }
    add(report, "", &bare_times, &times);

    let (mut bare_times, mut times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let flood = PipeToTcp::start(Role::Flood)?;
        std::thread::sleep(Duration::from_millis(300));
        bare.type_keys(&mut bare_times)?;
        flood.kill()?;
        let flood = Flood::start(&runtime)?;
        std::thread::sleep(Duration::from_millis(300));
        typist.type_keys(&mut times)?;
        flood.stop(&runtime)?;
    }
    add(report, ", another process floods", &bare_times, &times);
    Ok(())
}

fn add(report: &mut Report, circumstances: &str, bare: &[f64], ours: &[f64]) {
    for (name, part, most, target) in
        [("p50", 0.5, 0.1e-3, "<= 0.1 ms more"), ("p99", 0.99, 1e-3, "<= 1 ms more")]
    {
        let (bare, ours) = (percentile(bare, part), percentile(ours, part));
        report.add(Line {
            what: format!("keystroke echo, {name}{circumstances}"),
            bare: milliseconds(bare),
            ours: format!("{} ({} more)", milliseconds(ours), milliseconds(ours - bare)),
            ratio: Some(ours / bare),
            target,
            met: ours - bare <= most,
        });
    }
}

/// Types into a terminal, with nobody between.
pub(crate) struct BareTypist(Terminal);

impl BareTypist {
    /// Starts the program, and waits for it.
    pub(crate) fn start() -> Result<Self> {
        let mut terminal = Terminal::start(Role::Echo)?;
        terminal.master.read_exact(&mut [0])?;
        Ok(Self(terminal))
    }

    /// Adds the time of each echo, in seconds.
    pub(crate) fn type_keys(&mut self, times: &mut Vec<f64>) -> Result<()> {
        for _ in 0..KEYS_A_ROUND {
            std::thread::sleep(PAUSE);
            let began = Instant::now();
            self.0.master.write_all(b"x")?;
            self.0.master.read_exact(&mut [0])?;
            times.push(began.elapsed().as_secs_f64());
        }
        Ok(())
    }
}

/// Somebody who types to a program that prints what it reads.
pub(crate) struct Typist {
    client: Client,
    pid: u32,
    typed: u64,
}

impl Typist {
    /// Starts the program, and waits for it.
    pub(crate) fn start(runtime: &Runtime) -> Result<Self> {
        let mut client = runtime.connect(Protocol::V2)?;
        let pid = client.spawn(Role::Echo, true, Some(WINDOW))?;
        Self::new(client, pid)
    }

    /// To a program that says when it is ready, by printing something.
    pub(crate) fn new(client: Client, pid: u32) -> Result<Self> {
        let mut typist = Self { client, pid, typed: 0 };
        typist.await_output()?;
        Ok(typist)
    }

    fn await_output(&mut self) -> Result<()> {
        loop {
            if let Message::Output(_) = self.client.next()? {
                return Ok(());
            }
        }
    }

    /// How long each echo takes, in seconds.
    pub(crate) fn type_keys(&mut self, times: &mut Vec<f64>) -> Result<()> {
        for _ in 0..KEYS_A_ROUND {
            std::thread::sleep(PAUSE);
            let began = Instant::now();
            self.client.send_input(self.pid, self.typed, b"x")?;
            self.await_output()?;
            times.push(began.elapsed().as_secs_f64());
            self.typed += 1;
        }
        Ok(())
    }
}
