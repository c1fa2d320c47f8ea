//! The AppImage: one file that is started where it lies, on a system that has neither GTK nor WebKit.
//!
//! It is a small program followed by a squashfs of the folder that is laid out here: the app, the runtime, and the libraries that both and WebKit's own
//! processes are linked with, as this machine has them. What has to fit the system's kernel, graphics drivers and fonts is left to the system
//! ([`OF_THE_SYSTEM`]). Each program finds its libraries by a path relative to itself, so that nothing is in the environment for what the
//! runtime starts. WebKit has the path of its processes compiled in; it is made relative to the folder that `AppRun` goes to.
//!
//! The small program comes with the crate `appimage`; cargo fetches it, and it is known by its hash. It is there for x86_64 only.

use super::tree::{file_name, set_mode};
use super::{Programs, Release};
use crate::checkout::Checkout;
use crate::failure::{Failure, Result};
use crate::{compile, program, setup};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where there is a small program for.
pub(super) const ARCHITECTURE: &str = "x86_64";

const CRATE: (&str, &str) = ("appimage", "0.4.0");
const STARTER: &str = "assets/runtime-x86_64";
const STARTER_HASH: &str = "328e0d745c5c6817048c27bc3e8314871703f8f47ffa81a37cb06cd95a94b323";

/// Libraries, by the beginnings of their names, that every system with a desktop has, and that its other parts have to fit.
const OF_THE_SYSTEM: [&str; 31] = [
    "ld-linux",
    "libc.",
    "libm.",
    "libdl.",
    "librt.",
    "libpthread.",
    "libresolv.",
    "libgcc_s.",
    "libstdc++.",
    "libz.",
    "libGL",
    "libEGL.",
    "libOpenGL.",
    "libdrm.",
    "libgbm.",
    "libwayland-",
    "libX11",
    "libxcb.",
    "libxcb-dri",
    "libICE.",
    "libSM.",
    "libasound.",
    "libfontconfig.",
    "libfreetype.",
    "libharfbuzz.",
    "libfribidi.",
    "libexpat.",
    "libgpg-error.",
    "libcom_err.",
    "libp11-kit.",
    "libuuid.",
];

/// Goes to where WebKit looks for its processes, and starts the app.
const START: &str = r#"#!/bin/sh
folder=${APPDIR:-$(dirname "$(readlink -f "$0")")}
export GSETTINGS_SCHEMA_DIR="$folder/usr/share/glib-2.0/schemas"
cd "$folder/usr"
exec "$folder/usr/bin/mhnos-desktop" "$@"
"#;

pub(super) fn pack(checkout: &Checkout, release: &Release, programs: &Programs) -> Result<PathBuf> {
    setup::for_app_image()?;
    let starter = starter()?;
    let folder = release.fresh("app-image")?;
    lay_out(checkout, &folder, programs)?;
    let image = folder.with_extension("squashfs");
    // With the time of the commit for all: the variable would be refused beside it.
    let epoch = release.epoch.to_string();
    let mut squash = Command::new("mksquashfs");
    squash.arg(&folder).arg(&image).args([
        "-root-owned",
        "-noappend",
        "-no-xattrs",
        "-quiet",
        "-no-progress",
        "-comp",
        "gzip",
    ]);
    program::run(squash.args(["-mkfs-time", &epoch, "-all-time", &epoch]).env_remove("SOURCE_DATE_EPOCH"))?;
    let mut content = read(&starter)?;
    content.extend(read(&image)?);
    let file = release.folder.join(format!("mhnos-desktop-{}-{ARCHITECTURE}.AppImage", release.version));
    write(&file, &content)?;
    set_mode(&file, 0o755)?;
    Ok(file)
}

/// The small program, as cargo fetched it.
fn starter() -> Result<PathBuf> {
    let (name, version) = CRATE;
    program::output(program::cargo().args(["info", "--quiet", &format!("{name}@{version}")]))?;
    let sources = compile::cargo_home()?.join("registry/src");
    let registries = fs::read_dir(&sources).map_err(Failure::file("list", &sources))?.flatten();
    let mut files = registries.map(|it| it.path().join(format!("{name}-{version}")).join(STARTER));
    let file = files.find(|file| file.is_file()).ok_or_else(|| {
        Failure::Explained(format!(
            "cargo fetched no {STARTER} of the crate {name} {version}; remove it from {}",
            sources.display()
        ))
    })?;
    let sum = program::output(Command::new("sha256sum").arg(&file))?;
    if sum.split(' ').next() != Some(STARTER_HASH) {
        return Err(Failure::Explained(format!("{} is not what it was: {sum}", file.display())));
    }
    Ok(file)
}

fn lay_out(checkout: &Checkout, folder: &Path, programs: &Programs) -> Result<()> {
    let libraries =
        program::output(Command::new("pkg-config").args(["--variable=libdir", "webkit2gtk-4.1"]))?;
    let libraries = Path::new(libraries.trim());
    let processes = libraries.join("webkit2gtk-4.1");
    // Its own folder, below the one that the app goes to.
    let inside = folder.join(processes.strip_prefix("/").unwrap_or(&processes));
    let depth = processes.strip_prefix("/usr/lib").map_or(0, |path| path.components().count());
    let up = |further: usize| format!("$ORIGIN{}", "/..".repeat(depth + further));
    let bundle = Path::new("injected-bundle/libwebkit2gtkinjectedbundle.so");
    let mut linked = Vec::new();
    for (from, to, path) in [
        (programs.desktop()?.to_owned(), folder.join("usr/bin/mhnos-desktop"), "$ORIGIN/../lib".to_owned()),
        (programs.system()?.to_owned(), folder.join("usr/bin/mhnos-runtime"), String::new()),
        (processes.join("WebKitNetworkProcess"), inside.join("WebKitNetworkProcess"), up(0)),
        (processes.join("WebKitWebProcess"), inside.join("WebKitWebProcess"), up(0)),
        (processes.join(bundle), inside.join(bundle), up(1)),
    ] {
        copy(&from, &to)?;
        linked.push((to, path));
    }
    let files: Vec<&Path> = linked.iter().map(|(file, _)| file.as_path()).collect();
    for library in needed(&files)? {
        let to = folder.join("usr/lib").join(file_name(&library));
        copy(&library, &to)?;
        if file_name(&to).starts_with("libwebkit2gtk-") {
            make_relative(&to, &processes)?;
        }
        linked.push((to, "$ORIGIN".to_owned()));
    }
    for (file, path) in linked.iter().filter(|(_, path)| !path.is_empty()) {
        program::run(Command::new("patchelf").args(["--set-rpath", path]).arg(file))?;
    }
    let schemas = "usr/share/glib-2.0/schemas/gschemas.compiled";
    copy(&Path::new("/").join(schemas), &folder.join(schemas))?;
    let start = folder.join("AppRun");
    write(&start, START.as_bytes())?;
    set_mode(&start, 0o755)?;
    let entry = "org.mhnos.runtime.desktop";
    copy(&checkout.root().join("packaging").join(entry), &folder.join(entry))?;
    copy(&checkout.root().join("icons/app/256.png"), &folder.join("mhnos-desktop.png"))?;
    let icon = folder.join(".DirIcon");
    symlink("mhnos-desktop.png", &icon).map_err(Failure::file("link", &icon))
}

/// The libraries that these files are linked with, but for those of the system.
fn needed(files: &[&Path]) -> Result<BTreeSet<PathBuf>> {
    let list = program::output(Command::new("ldd").args(files).env("LC_ALL", "C"))?;
    let paths =
        list.lines().filter_map(|line| Some(PathBuf::from(line.split_once(" => ")?.1.split(' ').next()?)));
    Ok(paths.filter(|path| !OF_THE_SYSTEM.iter().any(|start| file_name(path).starts_with(start))).collect())
}

/// Changes a path that is compiled in, `/usr/...`, to one of the same length below the folder that the program is in.
fn make_relative(library: &Path, path: &Path) -> Result<()> {
    let mut content = read(library)?;
    let path = path.as_os_str().as_encoded_bytes();
    let relative = [b"././", path.strip_prefix(b"/usr").unwrap_or_default()].concat();
    let windows = content.windows(path.len()).enumerate();
    let places: Vec<usize> = windows.filter(|(_, window)| *window == path).map(|(place, _)| place).collect();
    if places.is_empty() || relative.len() != path.len() {
        return Err(Failure::Explained(format!(
            "{} does not name the folder of its processes",
            library.display()
        )));
    }
    for place in places {
        content[place..place + relative.len()].copy_from_slice(&relative);
    }
    write(library, &content)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(Failure::file("create", folder))?;
    }
    fs::copy(from, to).map_err(Failure::file("copy", from))?;
    // Programs and libraries alike; of what is only read nobody minds.
    set_mode(to, 0o755)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).map_err(Failure::file("read", file))
}

fn write(file: &Path, content: &[u8]) -> Result<()> {
    fs::write(file, content).map_err(Failure::file("write", file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_relative_in_place() {
        let file = std::env::temp_dir().join(format!("mhnos-relative-{}", std::process::id()));
        fs::write(&file, b"a\0/usr/lib/webkit\0b\0/usr/lib/webkit/bundle\0").unwrap();
        make_relative(&file, Path::new("/usr/lib/webkit")).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"a\0././/lib/webkit\0b\0././/lib/webkit/bundle\0");
        assert!(make_relative(&file, Path::new("/usr/lib/webkit")).is_err());
        fs::remove_file(&file).unwrap();
    }
}
