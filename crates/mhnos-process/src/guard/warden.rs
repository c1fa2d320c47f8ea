//! The guard of one program: starts it, carries out orders, reaps its tree, and reports.

use std::ffi::OsStr;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, fchdir, getpid, getppid, setsid};

use super::message::{Ending, Launch, Member, Order, Report};
use super::spawner::{read_message, receive_with_descriptors};
use crate::{sandbox::linux as sandbox, system};

/// Time between asking what a program left behind to end, and forcing it to. What is left then is forced.
const LEFT_BEHIND_GRACE: Duration = Duration::from_secs(2);

/// How long SIGKILL may take to show. What is left then cannot be ended (it hangs in the kernel) and is reported.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// Pause between two looks at a tree that was sent SIGKILL. The reaping of each member wakes us anyway.
const KILL_PAUSE: Duration = Duration::from_millis(20);

/// See proc(5): 0 is usual, 1000 the first to go.
const OUT_OF_MEMORY_SCORE: &str = "500";

/// Files a program may have open until it asks for more: what every login gives.
const OPEN_FILES: u64 = 1024;

/// Runs the guard on its end of the socket. Never returns.
pub(super) fn main(mut socket: UnixStream) -> ! {
    let code = match run(&mut socket) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("mhnos-runtime guard {}: {error}", getpid());
            1
        }
    };
    std::process::exit(code)
}

fn run(socket: &mut UnixStream) -> std::io::Result<()> {
    // All that needs no launch is done before there is one: whoever launches waits.
    // When memory runs out, the kernel is to end a program, and not the runtime or the person's desktop.
    let _ = std::fs::write("/proc/self/oom_score_adj", OUT_OF_MEMORY_SCORE);
    prctl::set_child_subreaper(true)?;
    // Everything else stays blocked, as the spawner did.
    let children =
        SignalFd::with_flags(&SigSet::from(Signal::SIGCHLD), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;

    let mut begin = [0; 4];
    let (read, descriptors) = receive_with_descriptors(socket, &mut begin)?;
    if read == 0 {
        return Ok(());
    }
    let Some(message) = read_message(socket, &begin[..read])? else { return Ok(()) };
    let launch = Launch::decode(&message)?;
    let program = match start(&launch, descriptors) {
        Ok(program) => program,
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(nix::libc::EINVAL);
            return socket.write_all(&Report::Failed { errno }.encode());
        }
    };
    socket.write_all(&Report::Started { os_pid: program.as_raw(), guard_pid: getpid().as_raw() }.encode())?;
    Warden {
        socket,
        children,
        program,
        terminal: launch.terminal,
        abandoned: false,
        ending: None,
        outcome: Ending::default(),
    }
    .watch()
}

/// Starts the program with `descriptors`: its working directory, the rules of its sandbox if it is confined, then either its terminal or
/// its input, output and errors.
fn start(launch: &Launch, descriptors: Vec<OwnedFd>) -> std::io::Result<Pid> {
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next().ok_or(std::io::Error::from_raw_os_error(nix::libc::EBADF));
    let directory = next()?;
    let rules = if launch.confined { Some(next()?) } else { None };
    let input = next()?;
    let (output, errors) =
        if launch.terminal { (input.try_clone()?, input.try_clone()?) } else { (next()?, next()?) };

    let mut command = Command::new(OsStr::from_bytes(&launch.program));
    command.args(launch.arguments.iter().map(|argument| OsStr::from_bytes(argument)));
    command.env_clear();
    command.envs(
        launch.environment.iter().map(|(name, value)| (OsStr::from_bytes(name), OsStr::from_bytes(value))),
    );
    command.stdin(input).stdout(output).stderr(errors);
    let (guard, terminal, data_limit) = (getpid(), launch.terminal, launch.data_limit);
    // SAFETY: the guard has one thread, so the child may do anything before exec.
    #[allow(unsafe_code, reason = "session, terminal and limits belong between fork and exec")]
    unsafe {
        command.pre_exec(move || {
            SigSet::empty().thread_set_mask()?;
            setsid()?;
            if terminal && nix::libc::ioctl(0, nix::libc::TIOCSCTTY, 0) == -1 {
                return Err(std::io::Error::last_os_error());
            }
            fchdir(&directory)?;
            if data_limit > 0 {
                setrlimit(Resource::RLIMIT_DATA, data_limit, data_limit)?;
            }
            setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
            // The runtime raises its own; programs that count descriptors with select(2) must not inherit that.
            let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
            setrlimit(Resource::RLIMIT_NOFILE, most.min(OPEN_FILES), most)?;
            // Should the guard itself be killed, its program must not live on unguarded.
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            if getppid() != guard {
                return Err(std::io::Error::from_raw_os_error(nix::libc::ESRCH));
            }
            // Last: whoever is confined may no longer do some of the above.
            rules.as_ref().map_or(Ok(()), |rules| sandbox::enter(rules.as_raw_fd()))
        });
    }
    Ok(Pid::from_raw(command.spawn()?.id() as i32))
}

/// An end that was ordered and is under way.
struct UnderWay {
    /// When what is left is forced.
    force_at: Instant,
    /// When what is left is given up on; set once force was used.
    give_up_at: Option<Instant>,
}

struct Warden<'socket> {
    socket: &'socket mut UnixStream,
    children: SignalFd,
    program: Pid,
    terminal: bool,
    /// Whether the runtime is gone.
    abandoned: bool,
    ending: Option<UnderWay>,
    outcome: Ending,
}

impl Warden<'_> {
    fn watch(mut self) -> std::io::Result<()> {
        loop {
            if !self.reap()? {
                break;
            }
            if !self.press_on() {
                break;
            }
            self.wait()?;
        }
        // A runtime that is gone no longer listens; the tree is ended all the same.
        let _ = self.socket.write_all(&Report::Gone(self.outcome).encode());
        Ok(())
    }

    /// Reaps every child that has ended. False when none is left: nothing of the tree lives.
    fn reap(&mut self) -> std::io::Result<bool> {
        while self.children.read_signal()?.is_some() {}
        loop {
            let mut status = 0;
            // SAFETY: waitpid writes one int. nix's own wrapper fails on the numbers of real-time signals.
            #[allow(unsafe_code, reason = "the raw wait status is passed on as it is")]
            let reaped = unsafe { nix::libc::waitpid(-1, &mut status, nix::libc::WNOHANG) };
            match reaped {
                0 => return Ok(true),
                -1 => return Ok(false),
                reaped if reaped == self.program.as_raw() => {
                    let _ = self.socket.write_all(&Report::Exited { status }.encode());
                    if self.ending.is_none() {
                        let members = self.members();
                        self.end(&members, Signal::SIGTERM as i32, LEFT_BEHIND_GRACE);
                        self.outcome.left_behind = members;
                    }
                }
                _ => {}
            }
        }
    }

    /// Forces what has outlived its grace. False when even that was in vain.
    fn press_on(&mut self) -> bool {
        let now = Instant::now();
        let Some(under_way) = &mut self.ending else { return true };
        if now < under_way.force_at {
            return true;
        }
        let first = under_way.give_up_at.is_none();
        let give_up_at = *under_way.give_up_at.get_or_insert(now + KILL_PATIENCE);
        if first {
            // What is stopped cannot fork: so no child is born between the look at the tree and the kill.
            let mut stopped = Vec::new();
            loop {
                let fresh: Vec<i32> = system::descendants(getpid().as_raw())
                    .into_iter()
                    .filter(|pid| !stopped.contains(pid))
                    .collect();
                if fresh.is_empty() {
                    break;
                }
                for &pid in &fresh {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGSTOP);
                }
                stopped.extend(fresh);
            }
            self.outcome.forced = self.members();
        }
        let left = self.members();
        for member in &left {
            let _ = kill(Pid::from_raw(member.os_pid), Signal::SIGKILL);
        }
        if now >= give_up_at {
            self.outcome.survived = left;
            return false;
        }
        true
    }

    /// Waits for a child's end, an order, or the next deadline.
    fn wait(&mut self) -> std::io::Result<()> {
        let timeout = match &self.ending {
            None => PollTimeout::NONE,
            Some(UnderWay { give_up_at: Some(_), .. }) => milliseconds(KILL_PAUSE),
            Some(UnderWay { force_at, .. }) => {
                milliseconds(force_at.saturating_duration_since(Instant::now()))
            }
        };
        let mut descriptors = [
            PollFd::new(self.children.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
        ];
        // Once the runtime is gone its socket is always readable, and there is nobody left to listen to.
        let watched = if self.abandoned { 1 } else { 2 };
        poll(&mut descriptors[..watched], timeout)?;
        let ordered = watched == 2 && descriptors[1].revents().is_some_and(|events| !events.is_empty());
        if ordered {
            match read_message(self.socket, &[]) {
                Ok(Some(message)) => self.obey(Order::decode(&message)?),
                // The runtime is gone: nobody may outlive it.
                Ok(None) | Err(_) => self.abandon(),
            }
        }
        Ok(())
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Signal { signal } => {
                let members = self.members();
                self.deliver(&members, signal);
                let _ = self.socket.write_all(&Report::Signalled(members).encode());
            }
            Order::End { signal, grace_milliseconds } => {
                let members = self.members();
                self.end(&members, signal, Duration::from_millis(u64::from(grace_milliseconds)));
                self.outcome.signalled.extend(members);
            }
        }
    }

    /// Delivers a signal that is meant to end the tree. A further order may shorten the grace, never lengthen it.
    fn end(&mut self, members: &[Member], signal: i32, grace: Duration) {
        self.deliver(members, signal);
        if self.terminal && signal == Signal::SIGTERM as i32 {
            // An interactive shell ignores SIGTERM; a terminal that goes away says so with SIGHUP.
            self.deliver(members, Signal::SIGHUP as i32);
        }
        // A stopped program sees its signal only when it goes on.
        self.deliver(members, Signal::SIGCONT as i32);
        let grace = if signal == Signal::SIGKILL as i32 { Duration::ZERO } else { grace };
        let force_at = Instant::now() + grace;
        match &mut self.ending {
            None => self.ending = Some(UnderWay { force_at, give_up_at: None }),
            Some(under_way) => under_way.force_at = under_way.force_at.min(force_at),
        }
    }

    fn abandon(&mut self) {
        self.abandoned = true;
        self.ending = Some(UnderWay { force_at: Instant::now(), give_up_at: None });
    }

    fn deliver(&self, members: &[Member], signal: i32) {
        for member in members {
            // SAFETY: sends a signal, touches no memory. Raw, because nix's type has no real-time signals.
            #[allow(unsafe_code, reason = "signals by number")]
            unsafe {
                nix::libc::kill(member.os_pid, signal);
            }
        }
    }

    fn members(&self) -> Vec<Member> {
        system::descendants(getpid().as_raw())
            .into_iter()
            .filter(|&pid| !system::is_zombie(pid))
            .map(|os_pid| Member { os_pid, name: system::name(os_pid) })
            .collect()
    }
}

fn milliseconds(duration: Duration) -> PollTimeout {
    // One more, so that the deadline has passed when poll returns.
    PollTimeout::try_from(duration.as_millis() as i32 + 1).unwrap_or(PollTimeout::MAX)
}
