//! Compiling programs for people: optimised, and the same bytes wherever they are compiled.
//!
//! They are compiled for a named target, even where that is this machine's own: so the flags that keep this machine's paths out of them
//! reach neither what runs while compiling nor what is compiled for development, which would have to be compiled anew each time.
//!
//! Both programs' packages are named each time, whichever program is wanted: then cargo gives a library the same features for both, which makes it one
//! library. It is compiled once, and a program is the same bytes whether the other was wanted or not.

use crate::checkout::Checkout;
use crate::failure::{Failure, Result};
use crate::program;
use std::env;
use std::fs;
use std::path::PathBuf;

/// The C library a program is for.
#[derive(Clone, Copy)]
pub(crate) enum Libc {
    /// That of most systems, linked when the program starts.
    Gnu,
    /// The same, inside the program: it runs on every Linux.
    Static,
}

/// The packages that the programs are of.
const PACKAGES: [&str; 2] = ["mhnos-server", "mhnos-desktop"];

/// Compiles programs, side by side where there are processors for it, and returns the folder they are in.
pub(crate) fn programs(checkout: &Checkout, names: &[&str], libc: Libc) -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let mut flags = without_paths(checkout)?;
    let mut folder = checkout.target().to_owned();
    if let Libc::Static = libc {
        flags.push_str("\u{1f}-Ctarget-feature=+crt-static");
        // Beside the other, which would have to be compiled anew each time.
        folder.push("static");
    }
    let mut cargo = checkout.cargo();
    cargo.args(["build", "--release", "--locked", "--target", &target]);
    cargo.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    cargo.args(names.iter().flat_map(|name| ["--bin", name]));
    cargo
        .arg("--target-dir")
        .arg(&folder)
        // The encoded form would win over the plain one, whose words are separated by spaces.
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", flags);
    program::run(&mut cargo)?;
    Ok(folder.join(target).join("release"))
}

/// The same for this machine, with each program in the folder where a plain `cargo build --release` would put it. Returns that folder.
pub(crate) fn programs_for_here(checkout: &Checkout, names: &[&str]) -> Result<PathBuf> {
    let built = programs(checkout, names, Libc::Gnu)?;
    let folder = checkout.target().join("release");
    fs::create_dir_all(&folder).map_err(Failure::file("create", &folder))?;
    for name in names {
        let usual = folder.join(name);
        let _ = fs::remove_file(&usual);
        fs::hard_link(built.join(name), &usual).map_err(Failure::file("link", &usual))?;
    }
    Ok(folder)
}

/// Sources are named in a program where it panics: by these names, wherever they were when it was compiled.
fn without_paths(checkout: &Checkout) -> Result<String> {
    let home = cargo_home()?;
    let flags = [(checkout.root(), "/mhnos-runtime"), (home.as_path(), "/cargo")]
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    Ok(flags.join("\u{1f}"))
}

/// Where cargo keeps what it fetches.
pub(crate) fn cargo_home() -> Result<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo"))).ok_or_else(|| {
        Failure::Explained("neither CARGO_HOME nor HOME says where cargo keeps its sources; set one".into())
    })
}
