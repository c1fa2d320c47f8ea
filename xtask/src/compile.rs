//! Compiling programs for people: optimised, and the same bytes wherever they are compiled.
//!
//! They are compiled for a named target, even where that is this machine's own: so the flags that keep this machine's paths out of them
//! reach neither what runs while compiling nor what is compiled for development, which would have to be compiled anew each time.

use crate::checkout::Checkout;
use crate::failure::{Failure, Result};
use crate::program;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The C library a program is for.
#[derive(Clone, Copy)]
pub(crate) enum Libc {
    /// That of most systems, linked when the program starts.
    Gnu,
    /// One that is inside the program: it runs on every Linux.
    Musl,
}

/// Compiles a program of a package of ours, and returns its path.
pub(crate) fn program(checkout: &Checkout, package: &str, name: &str, libc: Libc) -> Result<PathBuf> {
    let target = match libc {
        Libc::Gnu => format!("{}-unknown-linux-gnu", env::consts::ARCH),
        Libc::Musl => format!("{}-unknown-linux-musl", env::consts::ARCH),
    };
    ensure_target(&target)?;
    let mut cargo = checkout.cargo();
    cargo
        .args(["build", "--release", "--locked", "--package", package, "--bin", name, "--target", &target])
        // The encoded form would win over the plain one, whose words are separated by spaces.
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", without_paths(checkout)?);
    program::run(&mut cargo)?;
    Ok(checkout.target().join(target).join("release").join(name))
}

/// Gives a file a second name, in the folder where a plain `cargo build --release` would put it.
pub(crate) fn under_usual_name(checkout: &Checkout, file: &Path) -> Result<PathBuf> {
    let folder = checkout.target().join("release");
    let usual = folder.join(file.file_name().unwrap_or_default());
    fs::create_dir_all(&folder).map_err(Failure::file("create", &folder))?;
    let _ = fs::remove_file(&usual);
    fs::hard_link(file, &usual).map_err(Failure::file("link", &usual))?;
    Ok(usual)
}

fn ensure_target(target: &str) -> Result<()> {
    let sysroot = program::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    if Path::new(sysroot.trim()).join("lib/rustlib").join(target).exists() {
        return Ok(());
    }
    // Part of the toolchain, and only rustup can add it.
    program::run(Command::new("rustup").args(["target", "add", target]))
}

/// Sources are named in a program where it panics: by these names, wherever they were when it was compiled.
fn without_paths(checkout: &Checkout) -> Result<String> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home =
        home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo"))).ok_or_else(|| {
            Failure::Explained(
                "neither CARGO_HOME nor HOME says where cargo keeps its sources; set one".into(),
            )
        })?;
    let flags = [(checkout.root(), "/mhnos-runtime"), (home.as_path(), "/cargo")]
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    Ok(flags.join("\u{1f}"))
}
