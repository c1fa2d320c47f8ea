//! The programs that are run, bare and by the runtime alike: this executable with a hidden argument.

use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;

use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

/// The hidden argument; the role and its own arguments follow.
pub(crate) const AS_PROGRAM: &str = "--as-program";

/// What is written at once.
const BLOCK_BYTES: usize = 64 << 10;

/// A line of the output: printable, of usual length, with a newline that JSON has to escape.
const LINE: &[u8] = b"the quick brown fox jumps over the lazy dog, 0123456789 times, and never tires.\n";

/// What one of the programs does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    /// Prints so many bytes and ends.
    Print(u64),
    /// Prints until nobody reads any more.
    Flood,
    /// Prints a byte when it is ready, then what it reads.
    Echo,
    /// Waits until it is ended.
    Sleep,
}

impl Role {
    /// The arguments that make this executable play the role.
    pub(crate) fn arguments(self) -> Vec<String> {
        let role = match self {
            Self::Print(bytes) => return vec![AS_PROGRAM.into(), "print".into(), bytes.to_string()],
            Self::Flood => "flood",
            Self::Echo => "echo",
            Self::Sleep => "sleep",
        };
        vec![AS_PROGRAM.into(), role.into()]
    }
}

/// Plays a role.
pub(crate) fn main(role: &[String]) -> ExitCode {
    let outcome = make_raw().and_then(|()| match role {
        [name, bytes] if name == "print" => print(bytes.parse().unwrap_or(0)),
        [name] if name == "flood" => print(u64::MAX),
        [name] if name == "echo" => echo(),
        _ => loop {
            std::thread::park();
        },
    });
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A terminal in its usual mode would change newlines and echo by itself: then something else is measured.
fn make_raw() -> io::Result<()> {
    let terminal = io::stdout();
    if !terminal.is_terminal() {
        return Ok(());
    }
    let mut modes = tcgetattr(&terminal)?;
    cfmakeraw(&mut modes);
    Ok(tcsetattr(&terminal, SetArg::TCSANOW, &modes)?)
}

fn print(mut left: u64) -> io::Result<()> {
    // Written straight to the descriptor: the standard library would look for the end of lines.
    let mut output = std::fs::File::from(std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?);
    let lines: Vec<u8> =
        LINE.iter().copied().cycle().take(LINE.len() * (BLOCK_BYTES / LINE.len() + 2)).collect();
    let mut place = 0;
    while left > 0 {
        let block = BLOCK_BYTES.min(left.try_into().unwrap_or(usize::MAX));
        output.write_all(&lines[place..place + block])?;
        place = (place + block) % LINE.len();
        left -= block as u64;
    }
    Ok(())
}

fn echo() -> io::Result<()> {
    let (mut input, mut output) = (io::stdin(), io::stdout());
    // So that nobody types before the terminal is in raw mode.
    output.write_all(b"\n")?;
    output.flush()?;
    let mut buffer = [0; 4096];
    loop {
        match input.read(&mut buffer)? {
            0 => return Ok(()),
            read => {
                output.write_all(&buffer[..read])?;
                output.flush()?;
            }
        }
    }
}
