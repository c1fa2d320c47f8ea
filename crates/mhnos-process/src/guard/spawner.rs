//! The spawner: the process that forks guards.
//!
//! It is started by the runtime with a socket as its standard input, over which it is handed one end of a guard's socket
//! at a time. It ends when the runtime's end is closed. It runs no thread, so that its forks may run any code.
//!
//! It is a subreaper as the guards are: when one of them is killed, what is left of its tree comes here, and is ended.

use std::collections::HashSet;
use std::io::{IoSliceMut, Read};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::{ForkResult, Pid, dup2_stdin, fork, getpid, setsid};

use super::warden;
use crate::system;

/// Runs the spawner. To be called first thing in `main`, before any thread exists, when the executable was started by
/// [`crate::ProcessTable`] as its guard program.
pub fn main() -> ! {
    let code = match run() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("mhnos-runtime guard: {error}: this command is the runtime's own, not for use by hand");
            1
        }
    };
    std::process::exit(code)
}

fn run() -> std::io::Result<()> {
    // The runtime's end of a terminal sends Ctrl-C to its whole process group; programs must outlive it so that the
    // runtime can end them in good order.
    let _ = setsid();
    // Whoever ends a guard ends its program. Only the closing of the socket does that, in order.
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)?;
    let _ = prctl::set_name(c"mhnos-guard");

    let runtime = UnixStream::from(std::io::stdin().as_fd_owned()?);
    let nothing = std::fs::File::open("/dev/null")?;
    dup2_stdin(&nothing)?;

    // SAFETY: the default action installs no handler.
    #[allow(unsafe_code, reason = "nix marks signal() unsafe because of handlers; none is installed")]
    unsafe {
        // A runtime started in the background by a script ignores Ctrl-C; its programs must not inherit that.
        // And an ignored SIGCHLD would reap children unseen.
        for ignored in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP, Signal::SIGTERM, Signal::SIGCHLD] {
            signal(ignored, SigHandler::SigDfl)?;
        }
    }

    prctl::set_child_subreaper(true)?;
    let children =
        SignalFd::with_flags(&SigSet::from(Signal::SIGCHLD), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let mut guards = HashSet::new();
    loop {
        let mut descriptors = [
            PollFd::new(runtime.as_fd(), PollFlags::POLLIN),
            PollFd::new(children.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut descriptors, PollTimeout::NONE)?;
        let [asked, ended] = descriptors.map(|descriptor| descriptor.any().unwrap_or(true));
        if ended {
            while children.read_signal()?.is_some() {}
            reap(&mut guards);
            end_orphans(&guards);
        }
        if !asked {
            continue;
        }
        let Some(socket) = receive(&runtime)? else { break };
        // SAFETY: this process has one thread, so the child may do anything its parent could.
        #[allow(unsafe_code, reason = "fork is the purpose of this process")]
        match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                drop((runtime, children, guards));
                warden::main(socket);
            }
            Ok(ForkResult::Parent { child }) => {
                guards.insert(child.as_raw());
            }
            // The socket is dropped: the runtime sees it close and says that nothing could be started.
            Err(errno) => eprintln!("mhnos-runtime guard: fork failed: {errno}"),
        }
    }
    Ok(())
}

/// Reaps what has ended.
fn reap(guards: &mut HashSet<i32>) {
    loop {
        // SAFETY: waitpid writes nothing where it is given no place to. nix's own fails on the numbers of real-time signals.
        #[allow(unsafe_code, reason = "how it ended does not matter")]
        let reaped = unsafe { nix::libc::waitpid(-1, std::ptr::null_mut(), nix::libc::WNOHANG) };
        if reaped <= 0 {
            return;
        }
        guards.remove(&reaped);
    }
}

/// Kills what guards that were killed have left. What that leaves in its turn comes here too, and we are told of each end.
fn end_orphans(guards: &HashSet<i32>) {
    let orphans = system::children(getpid().as_raw()).into_iter().filter(|child| !guards.contains(child));
    for orphan in orphans {
        for os_pid in std::iter::once(orphan).chain(system::descendants(orphan)) {
            let _ = kill(Pid::from_raw(os_pid), Signal::SIGKILL);
        }
    }
}

/// The next guard's socket; `None` when the runtime is gone.
fn receive(runtime: &UnixStream) -> std::io::Result<Option<UnixStream>> {
    let (_, mut descriptors) = receive_with_descriptors(runtime, &mut [0; 1])?;
    Ok(descriptors.pop().map(UnixStream::from))
}

/// Reads at least one byte, and the file descriptors that came with it.
pub(super) fn receive_with_descriptors(
    socket: &UnixStream,
    bytes: &mut [u8],
) -> std::io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 5]);
    let mut parts = [IoSliceMut::new(bytes)];
    let message =
        recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = control {
            // SAFETY: the kernel has just made these descriptors for this process; nothing else owns them.
            #[allow(unsafe_code, reason = "descriptors from the kernel come as plain numbers")]
            descriptors
                .extend(received.into_iter().map(|descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) }));
        }
    }
    Ok((message.bytes, descriptors))
}

/// Reads one length-prefixed message of which `begin` was already read; `None` at the end of the stream.
pub(super) fn read_message(socket: &mut UnixStream, begin: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
    let mut prefix = [0; 4];
    prefix[..begin.len()].copy_from_slice(begin);
    match socket.read_exact(&mut prefix[begin.len()..]) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut message = vec![0; super::message::length(prefix)?];
    socket.read_exact(&mut message)?;
    Ok(Some(message))
}

/// A duplicate of standard input that is not inherited by programs.
trait StandardInput {
    fn as_fd_owned(&self) -> std::io::Result<OwnedFd>;
}

impl StandardInput for std::io::Stdin {
    fn as_fd_owned(&self) -> std::io::Result<OwnedFd> {
        AsFd::as_fd(self).try_clone_to_owned()
    }
}
