//! `cargo xtask generate`: the client's TypeScript types, written from the protocol crate.
//!
//! The generated file is committed, so that the client can be read and built without Rust; the check keeps it from
//! drifting from the messages it describes.

use crate::checkout::Checkout;
use crate::failure::{Failure, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

pub(crate) fn write(checkout: &Checkout) -> Result<()> {
    let file = generated_file(checkout);
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(Failure::file("create", folder))?;
    }
    fs::write(&file, mhnos_protocol::typescript()).map_err(Failure::file("write", &file))?;
    println!("wrote {}", file.display());
    Ok(())
}

pub(crate) fn check(checkout: &Checkout) -> Result<()> {
    let file = generated_file(checkout);
    let committed = match fs::read_to_string(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read.map_err(Failure::file("read", &file))?,
    };
    if committed == mhnos_protocol::typescript() {
        println!("{} is up to date", file.display());
        Ok(())
    } else {
        Err(Failure::Explained(format!(
            "{} is missing or not what the protocol crate says; run cargo xtask generate and commit the result",
            file.display()
        )))
    }
}

fn generated_file(checkout: &Checkout) -> PathBuf {
    checkout.root().join("client/src/generated/protocol.ts")
}
