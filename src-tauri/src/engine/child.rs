//! A child process that ends with this app, whatever becomes of the app.
//!
//! The kernel sends the child SIGTERM when the *thread* that forked it ends, so each child has a thread that forks it and then waits for
//! it. That thread first sees the end without reaping, says so under the lock that a signal takes too, and only then reaps: no
//! signal ever goes to a stranger who got the number.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, getppid};
use tokio::sync::{oneshot, watch};

use super::lines::Lines;

/// A child that runs or ran.
pub(super) struct Child {
    pid: Arc<Mutex<Option<Pid>>>,
    end: watch::Receiver<Option<String>>,
}

impl Child {
    /// Starts it. Both its outputs go to `lines`; it reads nothing.
    pub(super) async fn start(mut command: Command, lines: Lines) -> io::Result<Self> {
        let (started, starting) = oneshot::channel::<io::Result<()>>();
        let (ended, end) = watch::channel(None);
        let pid = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&pid);
        std::thread::Builder::new().name("engine".into()).spawn(move || {
            let launch = || -> io::Result<std::process::Child> {
                let (output, input) = io::pipe()?;
                command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input);
                die_with_this_thread(&mut command);
                let child = command.spawn()?;
                // It holds the pipe's other end, which else would never close.
                drop(command);
                lines.collect(output)?;
                Ok(child)
            };
            let mut child = match launch() {
                Ok(child) => child,
                Err(error) => return drop(started.send(Err(error))),
            };
            let number = Pid::from_raw(child.id() as i32);
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(number);
            let _ = started.send(Ok(()));
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
            let end = loop {
                match waitid(Id::Pid(number), flags) {
                    Err(nix::errno::Errno::EINTR) => {}
                    Ok(WaitStatus::Exited(_, code)) => break format!("it ended with code {code}"),
                    Ok(WaitStatus::Signaled(_, signal, _)) => break format!("it was ended by {signal}"),
                    other => break format!("it ended ({other:?})"),
                }
            };
            shared.lock().unwrap_or_else(PoisonError::into_inner).take();
            let _ = child.wait();
            ended.send_replace(Some(end));
        })?;
        starting.await.map_err(io::Error::other)??;
        Ok(Self { pid, end })
    }

    /// Waits for its end, and says how it ended.
    pub(super) async fn ended(&mut self) -> String {
        match self.end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or_default(),
            Err(_) => "it ended".into(),
        }
    }

    /// Asks it to end, forces it after `grace`, and returns when it is gone.
    pub(super) async fn stop(&mut self, grace: Duration) {
        self.signal(Signal::SIGTERM);
        if tokio::time::timeout(grace, self.ended()).await.is_err() {
            self.signal(Signal::SIGKILL);
            self.ended().await;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = *self.pid.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = kill(pid, signal);
        }
    }
}

/// Also when it is dropped before it was stopped.
impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::SIGTERM);
    }
}

/// Lets the kernel end a command when the thread that starts it ends. Tokio's own threads live as long as the app.
pub(super) fn die_with_this_thread(command: &mut Command) {
    let parent = nix::unistd::getpid();
    // SAFETY: between fork and exec only system calls are made, and nothing is allocated.
    #[allow(unsafe_code, reason = "the only way to do something between fork and exec")]
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
            // The app may have ended in between: then nothing would send it any more.
            if getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        });
    }
}
