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

/// The C library a program is for.
#[derive(Clone, Copy)]
pub(crate) enum Libc {
    /// That of most systems, linked when the program starts.
    Gnu,
    /// The same, inside the program: it runs on every Linux.
    Static,
}

/// Compiles a program of a package of ours, and returns its path.
pub(crate) fn program(checkout: &Checkout, package: &str, name: &str, libc: Libc) -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let mut flags = without_paths(checkout)?;
    let mut folder = checkout.target().to_owned();
    if let Libc::Static = libc {
        flags.push_str("\u{1f}-Ctarget-feature=+crt-static");
        // Beside the other, which would have to be compiled anew each time.
        folder.push("static");
    }
    let mut cargo = checkout.cargo();
    cargo
        .args(["build", "--release", "--locked", "--package", package, "--bin", name, "--target", &target])
        .arg("--target-dir")
        .arg(&folder)
        // The encoded form would win over the plain one, whose words are separated by spaces.
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", flags);
    program::run(&mut cargo)?;
    Ok(folder.join(target).join("release").join(name))
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
