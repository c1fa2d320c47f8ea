//! A program that prints without end, and a viewer that reads it as fast as it can.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Result;
use crate::client::{Protocol, WINDOW};
use crate::program::Role;
use crate::runtime::Runtime;
use crate::statistics::rate;

/// A flood through the runtime.
pub(crate) struct Flood {
    /// The process that prints.
    pub(crate) pid: u32,
    socket: std::net::TcpStream,
    read: Arc<AtomicU64>,
    reader: JoinHandle<()>,
}

impl Flood {
    /// Starts the program and its viewer, which is a connection and a thread of its own.
    pub(crate) fn start(runtime: &Runtime) -> Result<Self> {
        let mut client = runtime.connect(Protocol::V2)?;
        let pid = client.spawn(Role::Flood, false, Some(WINDOW))?;
        let socket = client.stream.try_clone()?;
        let read = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&read);
        let reader = std::thread::spawn(move || {
            // Ends when the socket is shut down.
            let _ = client.read_output(pid, |length| {
                count.fetch_add(length as u64, Ordering::Relaxed);
                true
            });
        });
        Ok(Self { pid, socket, read, reader })
    }

    /// Bytes read per second while `meanwhile` runs.
    pub(crate) fn rate_during<T>(&self, meanwhile: impl FnOnce() -> T) -> (f64, T) {
        let (before, began) = (self.read.load(Ordering::Relaxed), Instant::now());
        let result = meanwhile();
        (rate(self.read.load(Ordering::Relaxed) - before, began.elapsed()), result)
    }

    /// Ends the program, then the viewer.
    pub(crate) fn stop(self, runtime: &Runtime) -> Result<()> {
        runtime.connect(Protocol::V2)?.kill(self.pid)?;
        std::thread::sleep(Duration::from_millis(50));
        self.socket.shutdown(Shutdown::Both)?;
        self.reader.join().map_err(|_| "the reader of the flood broke off")?;
        Ok(())
    }
}
