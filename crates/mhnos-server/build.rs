//! Puts what was built for browsers into the program: the client (`client/dist/client.js`), which it serves at `/client.js`, and the
//! pages of the console (`ui/dist`).
//!
//! `cargo xtask` builds both before the program. A plain `cargo build` without them makes a runtime that says so in their place.

#![allow(missing_docs, reason = "a build script has no readers but its own")]

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = env::var_os("OUT_DIR").map(PathBuf::from).ok_or(io::ErrorKind::NotFound)?;

    let client = root.join("client/dist/client.js");
    println!("cargo::rerun-if-changed={}", client.display());
    fs::write(out.join("client.js"), if_there(fs::read(&client))?)?;

    let pages = root.join("ui/dist");
    println!("cargo::rerun-if-changed={}", pages.display());
    let kept = out.join("console");
    fs::create_dir_all(&kept)?;
    let mut count = 0;
    let mut assets = String::from("&[\n");
    for folder in ["", "assets"] {
        for path in if_there(files(&pages.join(folder)))? {
            let name = path.strip_prefix(&pages).map_err(io::Error::other)?;
            let kind = match path.extension().and_then(|extension| extension.to_str()) {
                Some("html") => "text/html; charset=utf-8",
                Some("js") => "text/javascript; charset=utf-8",
                Some("css") => "text/css; charset=utf-8",
                Some("svg") => "image/svg+xml",
                Some("png") => "image/png",
                Some("woff2") => "font/woff2",
                _ => {
                    return Err(io::Error::other(format!(
                        "{} is of no kind the console serves",
                        path.display()
                    )));
                }
            };
            // A copy of our own: the pages may be built anew while the compiler reads.
            let kept = kept.join(format!("{count}"));
            fs::copy(&path, &kept)?;
            count += 1;
            assets.push_str(&format!(
                "Asset {{ path: {name:?}, kind: {kind:?}, content: include_bytes!({kept:?}) }},\n"
            ));
        }
    }
    assets.push_str("]\n");
    fs::write(out.join("console_assets.rs"), assets)
}

/// The files of a folder, in order of their names.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// Nothing, where it was not built.
fn if_there<T: Default>(read: io::Result<T>) -> io::Result<T> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        read => read,
    }
}
