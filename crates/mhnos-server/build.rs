//! Puts the built client (`client/dist/client.js`) into the program, which serves it at `/client.js`.
//!
//! `cargo xtask` builds it before the program. A plain `cargo build` without it makes a runtime that says so in its place.

#![allow(missing_docs, reason = "a build script has no readers but its own")]

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../client/dist/client.js");
    println!("cargo::rerun-if-changed={}", built.display());
    let content = match fs::read(&built) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let out = env::var_os("OUT_DIR").map(PathBuf::from).ok_or(io::ErrorKind::NotFound)?;
    fs::write(out.join("client.js"), content)
}
