//! Programs of the operating system.
//!
//! A requirement counts as met when its program is there, wherever it came from; the Debian package is only how to get
//! it when it is not. As root the packages are installed directly, otherwise through a `sudo` that asks nothing.
//! Where neither works, or on another system, the person gets the exact command or the list of programs.

use super::tools;
use crate::failure::{Failure, Result};
use crate::program;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// A program, how to see that it is there, and the Debian packages that bring it.
#[derive(Clone, Copy)]
pub(crate) struct Requirement {
    program: &'static str,
    packages: &'static [&'static str],
    /// For what has no program of its own: arguments with which `program` succeeds only when all is there.
    proof: &'static [&'static str],
}

const fn program(program: &'static str, packages: &'static [&'static str]) -> Requirement {
    Requirement { program, packages, proof: &[] }
}

/// What building and serving the runtime needs; npm is what the client for web pages is built with.
pub(crate) const FOR_BUILDING: &[Requirement] =
    &[program("cc", &["gcc", "libc6-dev"]), program("npm", &["npm"])];

/// libFuzzer, which the fuzz targets are linked with, is C++.
pub(crate) const FOR_FUZZING: &[Requirement] = &[program("c++", &["g++"])];

/// What the images are drawn with, when the drawing has changed.
pub(crate) const FOR_DRAWING: &[Requirement] = &[program("rsvg-convert", &["librsvg2-bin"])];

/// What packages are made with.
pub(crate) const FOR_PACKAGING: &[Requirement] = &[
    program("git", &["git"]),
    program("dpkg-deb", &["dpkg"]),
    program("dpkg-shlibdeps", &["dpkg-dev"]),
    program("rpmbuild", &["rpm"]),
];

/// What an AppImage is put together with.
pub(crate) const FOR_APP_IMAGE: &[Requirement] =
    &[program("mksquashfs", &["squashfs-tools"]), program("patchelf", &["patchelf"])];

/// What the desktop app is compiled with.
pub(crate) const FOR_DESKTOP: &[Requirement] = &[
    program("pkg-config", &["pkg-config"]),
    Requirement {
        program: "pkg-config",
        packages: &["libgtk-3-dev", "libwebkit2gtk-4.1-dev"],
        proof: &["--exists", "gtk+-3.0", "webkit2gtk-4.1"],
    },
];

/// What the tests of the desktop app stand in for a person with: a display, a session bus, hands, eyes.
pub(crate) const FOR_DESKTOP_TESTS: &[Requirement] = &[
    program("Xvfb", &["xvfb"]),
    program("dbus-daemon", &["dbus-daemon"]),
    program("WebKitWebDriver", &["webkit2gtk-driver"]),
    program("xdotool", &["xdotool"]),
    program("import", &["imagemagick"]),
    // What opens links, and what starts entries of a session.
    program("xdg-open", &["xdg-utils"]),
    program("gio", &["libglib2.0-bin"]),
];

/// What the packages are tried with.
pub(crate) const FOR_INSTALLATION: &[Requirement] = &[
    program("debootstrap", &["debootstrap"]),
    program("systemd-nspawn", &["systemd-container"]),
    program("lintian", &["lintian"]),
];

/// What the tests start and watch.
pub(crate) const FOR_TESTING: &[Requirement] = &[
    program("bash", &["bash"]),
    program("git", &["git"]),
    program("python3", &["python3"]),
    Requirement { program: "python3", packages: &["python3-venv"], proof: &["-c", "import ensurepip, venv"] },
    program("make", &["make"]),
    program("ps", &["procps"]),
    program("strace", &["strace"]),
    // A full-screen program for the terminal tests.
    program("vi", &["vim-tiny"]),
    program("chromium", &["chromium"]),
];

/// A container engine, its clients, and what makes an image without a registry.
pub(crate) const FOR_CONTAINERS: &[Requirement] = &[
    program("dockerd", &["docker.io"]),
    program("iptables", &["iptables"]),
    program("docker-compose", &["docker-compose"]),
    program("debootstrap", &["debootstrap"]),
];

/// What the bench measures sync beside.
pub(crate) const FOR_BENCHING: &[Requirement] =
    &[program("rsync", &["rsync"]), program("unison", &["unison"]), program("syncthing", &["syncthing"])];

impl Requirement {
    fn is_met(&self) -> bool {
        if self.proof.is_empty() {
            program::find(self.program).is_some()
        } else {
            program::succeeds(Command::new(self.program).args(self.proof))
        }
    }
}

/// Installs the packages of the requirements that are not met.
pub(crate) fn ensure(requirements: &[Requirement]) -> Result<()> {
    let packages = missing_packages(requirements);
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    println!("setup: this machine lacks {list}");
    if program::find("apt-get").is_none() {
        return Err(Failure::Explained(format!(
            "some programs are missing and this is not a Debian system; install what Debian calls {list} \
             with this system's package manager, then run the command again"
        )));
    }
    let prefix = root_prefix().ok_or_else(|| {
        Failure::Explained(format!(
            "some programs are missing and installing them needs root; run\n  \
             sudo apt-get update && sudo apt-get install -y --no-install-recommends {list}\n\
             then run the command again"
        ))
    })?;
    let _alone = tools::alone()?;
    apt_get(prefix, &["update"])?;
    apt_get(prefix, &[&["install", "-y", "--no-install-recommends"], packages.as_slice()].concat())?;
    match missing_packages(requirements).join(" ") {
        still_missing if still_missing.is_empty() => Ok(()),
        still_missing => Err(Failure::Explained(format!(
            "apt-get succeeded, yet what the packages {still_missing} bring cannot be found; check that PATH names \
             /usr/bin, then run the command again"
        ))),
    }
}

fn missing_packages(requirements: &[Requirement]) -> Vec<&'static str> {
    requirements.iter().filter(|it| !it.is_met()).flat_map(|it| it.packages.iter().copied()).collect()
}

/// What goes before a command that has to run as root, or nothing when there is no way without asking for a password.
fn root_prefix() -> Option<&'static [&'static str]> {
    if fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0) {
        Some(&[])
    } else if program::succeeds(Command::new("sudo").args(["-n", "true"])) {
        Some(&["sudo", "-n"])
    } else {
        None
    }
}

fn apt_get(prefix: &[&str], arguments: &[&str]) -> Result<()> {
    // `env`, because sudo drops variables; the time-out, because another apt-get may be running; no terminal for dpkg,
    // because its progress fills a log.
    let environment = ["env", "DEBIAN_FRONTEND=noninteractive"];
    let apt_get = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"];
    let words = [prefix, &environment, &apt_get, arguments].concat();
    program::run(Command::new(words[0]).args(&words[1..]))
}
