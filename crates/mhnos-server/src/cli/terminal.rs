//! The person's own terminal: raw mode and how it is always left, its size, and what is said on it meanwhile.
//!
//! Raw mode is put back on every way out: when [`RawMode`] is dropped, and by a panic hook before the panic's message
//! is printed. Signals end the command through its ordinary way out, so they drop it too.

pub(crate) mod answers;
pub(crate) mod detach_key;
pub(crate) mod modes;
mod sequences;

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use mhnos_protocol::v2::TerminalSize;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use super::failure::Failure;

/// The settings to put back, while raw mode holds.
static ORIGINAL: Mutex<Option<Termios>> = Mutex::new(None);

/// Holds standard input's terminal in raw mode.
pub(crate) struct RawMode(());

impl RawMode {
    pub(crate) fn enter() -> Result<Self, Failure> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let next = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                // Must not wait for a lock this very thread may hold; then the drop restores, a moment later.
                if let Ok(original) = ORIGINAL.try_lock() {
                    restore(original);
                }
                next(panic);
            }));
        });
        set_raw()
            .map(|()| Self(()))
            .map_err(|error| Failure::Other(format!("could not set this terminal to raw mode: {error}")))
    }

    /// Puts the settings back, stops this command as Ctrl-Z would, and goes on in raw mode once it is continued.
    pub(crate) fn pause(&self) {
        restore(original());
        // Returns when somebody continues us.
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP);
        let _ = set_raw();
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore(original());
    }
}

fn set_raw() -> nix::Result<()> {
    let input = std::io::stdin();
    let found = tcgetattr(input.as_fd())?;
    let mut raw = found.clone();
    cfmakeraw(&mut raw);
    original().get_or_insert(found);
    // Never with draining: that waits for ever on a terminal that is held with Ctrl-S.
    tcsetattr(input.as_fd(), SetArg::TCSANOW, &raw)
}

fn restore(mut original: MutexGuard<'_, Option<Termios>>) {
    if let Some(original) = original.take() {
        let _ = tcsetattr(std::io::stdin().as_fd(), SetArg::TCSANOW, &original);
    }
}

fn original() -> MutexGuard<'static, Option<Termios>> {
    ORIGINAL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says something to the person on standard error, also while the terminal is raw.
pub(crate) fn say(text: impl std::fmt::Display) {
    let end = if original().is_some() { "\r\n" } else { "\n" };
    // Nobody is left to be told when standard error is closed.
    let _ = write!(std::io::stderr(), "mhnos-runtime: {text}{end}");
}

/// The size of the terminal the person looks at, if there is one.
pub(crate) fn size() -> Option<TerminalSize> {
    let (output, input, error) = (std::io::stdout(), std::io::stdin(), std::io::stderr());
    let size = if output.is_terminal() {
        size_of(output.as_fd())
    } else if input.is_terminal() {
        size_of(input.as_fd())
    } else if error.is_terminal() {
        size_of(error.as_fd())
    } else {
        return None;
    }?;
    // A terminal that does not know its size says 0.
    (size.ws_col > 0 && size.ws_row > 0).then_some(TerminalSize { cols: size.ws_col, rows: size.ws_row })
}

fn size_of(terminal: std::os::fd::BorrowedFd<'_>) -> Option<nix::libc::winsize> {
    use std::os::fd::AsRawFd;
    let mut size = nix::libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is open for as long as it is borrowed, and the request fills exactly this structure.
    #[allow(unsafe_code, reason = "nix has no safe call that asks a terminal for its size")]
    let result = unsafe { nix::libc::ioctl(terminal.as_raw_fd(), nix::libc::TIOCGWINSZ, &mut size) };
    (result == 0).then_some(size)
}

/// Whether colour is wanted on standard output.
pub(crate) fn wants_color() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
