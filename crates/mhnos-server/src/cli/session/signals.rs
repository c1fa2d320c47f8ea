//! The signals that matter while a program is watched.

use std::io;

use nix::sys::signal::Signal;
use tokio::signal::unix::{self, SignalKind};

pub(crate) enum Event {
    /// Somebody wants this command to end.
    End(Signal),
    /// The terminal has another size.
    Resized,
    /// Somebody wants this command to stop for a while.
    Pause,
}

pub(crate) struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hangup: unix::Signal,
    quit: unix::Signal,
    resize: unix::Signal,
    /// Only watched in raw mode; otherwise the system stops this command by itself.
    pause: Option<unix::Signal>,
}

impl Signals {
    pub(crate) fn watch(raw: bool) -> io::Result<Self> {
        let pause = SignalKind::from_raw(nix::libc::SIGTSTP);
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
            hangup: unix::signal(SignalKind::hangup())?,
            quit: unix::signal(SignalKind::quit())?,
            resize: unix::signal(SignalKind::window_change())?,
            pause: if raw { Some(unix::signal(pause)?) } else { None },
        })
    }

    pub(crate) async fn next(&mut self) -> Event {
        let pause = async {
            match &mut self.pause {
                Some(pause) => pause.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Event::End(Signal::SIGINT),
            _ = self.terminate.recv() => Event::End(Signal::SIGTERM),
            _ = self.hangup.recv() => Event::End(Signal::SIGHUP),
            _ = self.quit.recv() => Event::End(Signal::SIGQUIT),
            _ = self.resize.recv() => Event::Resized,
            _ = pause => Event::Pause,
        }
    }

    /// Waits until somebody wants this command to end.
    pub(crate) async fn end(&mut self) -> Signal {
        loop {
            if let Event::End(signal) = self.next().await {
                return signal;
            }
        }
    }
}

/// Waits until somebody wants this command to end, for commands that have nothing else to do with signals.
pub(crate) async fn end() -> Signal {
    match Signals::watch(false) {
        Ok(mut signals) => signals.end().await,
        Err(_) => std::future::pending().await,
    }
}
