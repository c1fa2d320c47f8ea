//! The bare limits: what the machine can do with the least code between program and reader.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::libc;
use nix::pty::openpty;
use nix::unistd::setsid;

use crate::Result;
use crate::client::READ_BYTES;
use crate::program::Role;

/// What a copy loop reads at once.
const COPY_BYTES: usize = 64 << 10;

fn command(role: Role) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(role.arguments());
    Ok(command)
}

/// A terminal with a program in it, and nobody between.
pub(crate) struct Terminal {
    /// Our end.
    pub(crate) master: File,
    child: Child,
}

impl Terminal {
    /// Runs a program of ours in a terminal.
    pub(crate) fn start(role: Role) -> Result<Self> {
        Self::run(command(role)?)
    }

    /// Runs a program in a terminal.
    pub(crate) fn run(mut command: Command) -> Result<Self> {
        let pair = openpty(None, None)?;
        let theirs = || pair.slave.as_fd().try_clone_to_owned();
        command.stdin(theirs()?).stdout(theirs()?).stderr(theirs()?);
        // SAFETY: both calls are safe between fork and exec.
        #[allow(unsafe_code, reason = "a program in a terminal has a session, whose terminal it is")]
        unsafe {
            command.pre_exec(|| {
                setsid()?;
                match libc::ioctl(0, libc::TIOCSCTTY, 0) {
                    -1 => Err(std::io::Error::last_os_error()),
                    _ => Ok(()),
                }
            });
        }
        Ok(Self { master: pair.master.into(), child: command.spawn()? })
    }

    /// Reads to the end: how much came, from the first byte to the last how long.
    pub(crate) fn read_all(mut self) -> Result<(u64, Duration)> {
        let measured = drain(&mut self.master)?;
        self.child.wait()?;
        Ok(measured)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a stream to its end and throws it away.
fn drain(stream: &mut impl Read) -> Result<(u64, Duration)> {
    let mut buffer = vec![0; READ_BYTES];
    let (mut bytes, mut began) = (0, None);
    let mut last = Instant::now();
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            // So a terminal says that its last user has closed it.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => break,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error.into()),
            Ok(read) => {
                last = Instant::now();
                began.get_or_insert(last);
                bytes += read as u64;
            }
        }
    }
    Ok((bytes, began.map_or(Duration::ZERO, |began| last - began)))
}

/// A program whose output is copied from its pipe into a TCP socket of this machine, and read and thrown away at the other end.
pub(crate) struct PipeToTcp {
    child: Child,
    copy: Option<JoinHandle<()>>,
    reader: Option<JoinHandle<Result<(u64, Duration)>>>,
}

impl PipeToTcp {
    /// Runs a program of ours.
    pub(crate) fn start(role: Role) -> Result<Self> {
        let (mut socket, mut other) = socket_pair()?;
        let mut child = command(role)?.stdout(Stdio::piped()).stdin(Stdio::null()).spawn()?;
        let mut output = child.stdout.take().ok_or("no output")?;
        let copy = std::thread::spawn(move || {
            let mut buffer = vec![0; COPY_BYTES];
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                if socket.write_all(&buffer[..read]).is_err() {
                    return;
                }
            }
        });
        let reader = std::thread::spawn(move || drain(&mut other));
        Ok(Self { child, copy: Some(copy), reader: Some(reader) })
    }

    /// Waits for the end: how much came, and how long that took from the first byte to the last.
    pub(crate) fn join(mut self) -> Result<(u64, Duration)> {
        self.end()
    }

    /// Ends the program: how much had come.
    pub(crate) fn kill(mut self) -> Result<(u64, Duration)> {
        self.child.kill()?;
        self.end()
    }

    fn end(&mut self) -> Result<(u64, Duration)> {
        let _ = self.copy.take().map(JoinHandle::join);
        self.child.wait()?;
        let reader = self.reader.take().ok_or("already ended")?;
        reader.join().map_err(|_| "the reader broke off")?
    }
}

/// Both ends of a TCP connection within this machine.
pub(crate) fn socket_pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let socket = TcpStream::connect(listener.local_addr()?)?;
    let (other, _) = listener.accept()?;
    socket.set_nodelay(true)?;
    other.set_nodelay(true)?;
    Ok((socket, other))
}

/// Forks and executes a program with pipes: the time until it runs. Waits for its end.
pub(crate) fn fork_and_exec(program: &str) -> Result<Duration> {
    let mut command = Command::new(program);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: does nothing. With it, the standard library really forks, as one must who sets limits.
    #[allow(unsafe_code, reason = "the bare limit is a fork, not a vfork")]
    unsafe {
        command.pre_exec(|| Ok(()));
    }
    let began = Instant::now();
    let mut child = command.spawn()?;
    let time = began.elapsed();
    child.wait()?;
    Ok(time)
}
