//! A Debian with a systemd of its own, booted in a container of this machine's, and thrown away.
//!
//! It has no network but its own loopback interface: what is installed there must not need more, and it cannot get in anybody's way.

use crate::checkout::Checkout;
use crate::clean_debian::{self, bounded, copy};
use crate::failure::{Failure, Result};
use crate::program;
use crate::setup::Tools;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What a person's Debian has, and what the scripts look with.
const PACKAGES: &str = "systemd-sysv libpam-systemd dbus dbus-user-session sudo curl iproute2 procps rpm";

/// What the desktop app needs, what it runs, and a screen that nobody sees: on the machine to be installed from, not installed.
const DESKTOP_PACKAGES: [&str; 5] = ["libgtk-3-0", "libwebkit2gtk-4.1-0", "nodejs", "xvfb", "xauth"];

/// Nobody needs what is on the machine after it lost its power: dpkg need not wait for the disk.
const NOT_DURABLE: &str = "force-unsafe-io\n";

/// To be raised when what is made here changes.
const VERSION: u32 = 3;

/// What a machine has to install from, as there is no network.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::test) enum Supply {
    /// Nothing; a Node is there already.
    Nothing,
    /// What the desktop app needs and Debian's Node, as a source of packages in a folder.
    Desktop,
}

/// Calls that `systemd-nspawn` closes to what it boots, and no real machine does.
const SANDBOX_CALLS: &str = "landlock_create_ruleset landlock_add_rule landlock_restrict_self";

/// How long it takes to boot, at most, on a busy machine.
const BOOT_TIME: Duration = Duration::from_secs(90);

const PAUSE: Duration = Duration::from_millis(100);

pub(in crate::test) struct Machine {
    folder: PathBuf,
    container: Child,
}

impl Machine {
    fn boot(tools: &Tools, supply: Supply) -> Result<Self> {
        let archive = archive(supply)?;
        static BOOTED: AtomicU32 = AtomicU32::new(0);
        let name = format!("mhnos-machine-{}-{}", std::process::id(), BOOTED.fetch_add(1, Ordering::Relaxed));
        let folder = env::temp_dir().join(&name);
        let root = folder.join("root");
        fs::create_dir_all(&root).map_err(Failure::file("create", &root))?;
        clean_debian::unpack(&archive, &root)?;
        if supply == Supply::Nothing {
            copy(&tools.node(), &root.join("usr/local/bin/node"))?;
        }
        let log = folder.join("log");
        let output = File::create(&log).map_err(Failure::file("create", &log))?;
        let errors = output.try_clone().map_err(Failure::file("open", &log))?;
        let mut nspawn = Command::new("systemd-nspawn");
        nspawn
            .args(["--quiet", "--boot", "--register=no", "--keep-unit", "--private-network"])
            .args([&format!("--machine={name}"), "--hostname=clean-debian"])
            .arg(format!("--system-call-filter={SANDBOX_CALLS}"))
            .arg("--directory")
            .arg(&root);
        if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            // What it boots has to see the groups as this machine has them.
            nspawn.arg("systemd.unified_cgroup_hierarchy=0");
        }
        println!("$ {}", program::command_line(&nspawn));
        nspawn.stdin(Stdio::null()).stdout(output).stderr(errors);
        let container = nspawn.spawn().map_err(|source| program::not_started(&nspawn, source))?;
        let mut machine = Self { folder, container };
        machine.wait(&log)?;
        Ok(machine)
    }

    /// One that has the scripts of `tests/install` in `/opt/tests`.
    pub(in crate::test) fn with_scripts(checkout: &Checkout, tools: &Tools, supply: Supply) -> Result<Self> {
        let machine = Self::boot(tools, supply)?;
        machine.put(&checkout.root().join("tests/install"), "opt/tests")?;
        Ok(machine)
    }

    /// Copies a file or folder to a place in it.
    pub(in crate::test) fn put(&self, from: &Path, to: &str) -> Result<()> {
        let to = self.folder.join("root").join(to);
        program::run(bounded("cp").args(["--recursive", "--preserve=mode"]).arg(from).arg(&to))
    }

    pub(in crate::test) fn make_folder(&self, path: &str) -> Result<()> {
        let path = self.folder.join("root").join(path);
        fs::create_dir_all(&path).map_err(Failure::file("create", &path))
    }

    /// Writes a file that everybody there may read.
    pub(in crate::test) fn write(&self, path: &str, content: &str) -> Result<()> {
        let path = self.folder.join("root").join(path);
        fs::write(&path, content).map_err(Failure::file("write", &path))
    }

    /// Runs a program in it, as root.
    pub(in crate::test) fn run(&self, name: &str, arguments: &[&str]) -> Result<()> {
        let mut command = self.inside()?;
        program::run(command.arg(name).args(arguments))
    }

    /// The start of a command line that is carried out inside.
    fn inside(&self) -> Result<Command> {
        let init = self.init().ok_or_else(|| {
            Failure::Explained("the machine that was booted to install on has ended".into())
        })?;
        let mut command = bounded("nsenter");
        command.args(["--target", &init, "--all", "--", "env", "--ignore-environment"]);
        command.arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        Ok(command)
    }

    /// Its first process, as this machine numbers it.
    fn init(&self) -> Option<String> {
        let id = self.container.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().next().map(str::to_owned)
    }

    fn wait(&mut self, log: &Path) -> Result<()> {
        let began = Instant::now();
        while !self.inside().is_ok_and(|mut command| {
            program::succeeds(command.args(["systemctl", "is-active", "--quiet", "multi-user.target"]))
        }) {
            let ended = !matches!(self.container.try_wait(), Ok(None));
            if ended || began.elapsed() > BOOT_TIME {
                let said = fs::read_to_string(log).unwrap_or_default();
                let last = said.lines().last().unwrap_or("nothing");
                return Err(Failure::Explained(format!(
                    "systemd-nspawn booted no Debian; it said last: {last}"
                )));
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // All that runs there ends with its first process, but that does not end with the program that started it.
        if let Some(init) = self.init() {
            program::succeeds(Command::new("kill").args(["-KILL", &init]));
        }
        let _ = self.container.kill();
        let _ = self.container.wait();
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            println!("could not remove {}: {error}", self.folder.display());
        }
    }
}

/// Makes what is booted, where it is not there.
pub(super) fn prepare() -> Result<()> {
    archive(Supply::Desktop).map(drop)
}

/// What is booted, made when it is not there.
fn archive(supply: Supply) -> Result<PathBuf> {
    let plain = clean_debian::archive(&format!("clean-debian-{VERSION}"), PACKAGES, |root| {
        for (path, content) in [
            ("etc/hosts", "127.0.0.1 localhost clean-debian\n::1 localhost\n"),
            ("etc/hostname", "clean-debian\n"),
            ("etc/dpkg/dpkg.cfg.d/not-durable", NOT_DURABLE),
        ] {
            let path = root.join(path);
            fs::write(&path, content).map_err(Failure::file("write", &path))?;
        }
        Ok(())
    })?;
    match supply {
        Supply::Nothing => Ok(plain),
        Supply::Desktop => {
            clean_debian::extended(&format!("clean-debian-desktop-{VERSION}"), || Ok(plain), lay_in)
        }
    }
}

/// Fetches what the desktop app needs, and makes a source of packages of it.
fn lay_in(root: &Path) -> Result<()> {
    let inside = |arguments: &[&str]| program::run(bounded("chroot").arg(root).args(arguments));
    inside(&["apt-get", "--quiet=2", "update"])?;
    let fetch = ["apt-get", "--quiet=2", "install", "--yes", "--download-only", "--no-install-recommends"];
    inside(&[fetch.as_slice(), &DESKTOP_PACKAGES].concat())?;
    let folder = root.join("opt/packages");
    fs::rename(root.join("var/cache/apt/archives"), &folder).map_err(Failure::file("move", &folder))?;
    let list = program::output(Command::new("dpkg-scanpackages").arg(".").current_dir(&folder))?;
    for (file, content) in [
        (folder.join("Packages"), list.as_str()),
        (root.join("etc/apt/sources.list"), "deb [trusted=yes] file:/opt/packages ./\n"),
    ] {
        fs::write(&file, content).map_err(Failure::file("write", &file))?;
    }
    let archives = root.join("var/cache/apt/archives/partial");
    fs::create_dir_all(&archives).map_err(Failure::file("create", &archives))
}
