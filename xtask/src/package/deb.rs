//! A package for Debian and its relatives, put together by `dpkg-deb` from a folder laid out as the package is.

use super::Release;
use super::tree::{self, MAINTAINER, Tree};
use crate::checkout::Checkout;
use crate::failure::{Failure, Result};
use crate::program;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What dpkg runs when it installs and removes.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

pub(super) fn pack(checkout: &Checkout, release: &Release, tree: &Tree) -> Result<PathBuf> {
    let folder = release.fresh(tree.name)?;
    tree.write(&folder)?;
    let changes = write_changes(checkout, release, tree, &folder)?;
    let control = folder.join("DEBIAN");
    fs::create_dir_all(&control).map_err(Failure::file("create", &control))?;
    tree::set_mode(&control, 0o755)?;
    let architecture = program::output(Command::new("dpkg").arg("--print-architecture"))?;
    let architecture = architecture.trim();
    let fields = fields(release, tree, &folder, architecture, changes)?;
    write(&control.join("control"), fields.as_bytes(), 0o644)?;
    write(&control.join("md5sums"), sums(&folder)?.as_bytes(), 0o644)?;
    for script in SCRIPTS {
        let content = format!("#!/bin/sh\nset -e\n\n{}", super::script(checkout, "debian", script)?);
        write(&control.join(script), content.as_bytes(), 0o755)?;
    }
    let file = release.folder.join(format!("{}_{}_{architecture}.deb", tree.name, release.version));
    // One thread, because the number of them shows in what xz writes.
    program::run(
        release
            .command("dpkg-deb")
            .args([
                "--root-owner-group",
                "--uniform-compression",
                "-Zxz",
                "-z6",
                "--threads-max=1",
                "--build",
            ])
            .arg(&folder)
            .arg(&file),
    )?;
    Ok(file)
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    fs::write(path, content).map_err(Failure::file("write", path))?;
    tree::set_mode(path, mode)
}

/// The list of changes in Debian's form: this version's lines of `CHANGELOG.md`. Returns its size.
fn write_changes(checkout: &Checkout, release: &Release, tree: &Tree, folder: &Path) -> Result<u64> {
    let source = checkout.root().join("CHANGELOG.md");
    let changelog = fs::read_to_string(&source).map_err(Failure::file("read", &source))?;
    let changes = changes(&changelog, &release.version);
    if changes.is_empty() {
        return Err(Failure::Explained(format!(
            "CHANGELOG.md says nothing of version {}; write it",
            release.version
        )));
    }
    let mut text = format!("{} ({}) unstable; urgency=medium\n\n", tree.name, release.version);
    for change in changes {
        let _ = writeln!(text, "  * {}", folded(&change).join("\n    "));
    }
    let _ = writeln!(text, "\n -- {MAINTAINER}  {}", release.date("+%a, %d %b %Y %H:%M:%S +0000")?);
    let plain = release.scratch.join("changelog");
    fs::write(&plain, text).map_err(Failure::file("write", &plain))?;
    let compressed = tree::compressed(release, &plain)?;
    let path = folder.join("usr/share/doc").join(tree.name).join("changelog.gz");
    write(&path, &compressed, 0o644)?;
    Ok(compressed.len() as u64)
}

/// The points of a version's section, each on one line.
fn changes(changelog: &str, version: &str) -> Vec<String> {
    let mut points: Vec<String> = Vec::new();
    let lines = changelog.lines().skip_while(|line| line.strip_prefix("## ") != Some(version)).skip(1);
    for line in lines.take_while(|line| !line.starts_with("## ")) {
        match line.strip_prefix("- ") {
            Some(point) => points.push(point.to_owned()),
            None if line.trim().is_empty() => {}
            None => {
                if let Some(point) = points.last_mut() {
                    point.push(' ');
                    point.push_str(line.trim());
                }
            }
        }
    }
    points
}

fn fields(release: &Release, tree: &Tree, folder: &Path, architecture: &str, changes: u64) -> Result<String> {
    let libraries = libraries(release, tree, folder)?;
    let replaced = tree.replaces.map_or_else(String::new, |other| {
        format!("Provides: {other} (= {})\nConflicts: {other}\nReplaces: {other}\n", release.version)
    });
    let kibibytes = (tree.size() + changes).div_ceil(1024);
    Ok(format!(
        "Package: {}\n\
         Version: {}\n\
         Architecture: {architecture}\n\
         Maintainer: {MAINTAINER}\n\
         Installed-Size: {kibibytes}\n\
         Depends: {libraries}\n\
         Recommends: nodejs, python3\n\
         Suggests: git\n\
         {replaced}\
         Section: net\n\
         Priority: optional\n\
         Description: {}\n {}\n",
        tree.name,
        release.version,
        tree.summary,
        folded(&tree.description).join("\n ")
    ))
}

/// The libraries the programs are linked with, as packages and the least version of each.
fn libraries(release: &Release, tree: &Tree, folder: &Path) -> Result<String> {
    // The tool wants to be in a folder of sources.
    let sources = release.fresh("sources")?;
    let control = sources.join("debian/control");
    fs::create_dir_all(sources.join("debian")).map_err(Failure::file("create", &control))?;
    fs::write(&control, "Source: mhnos\n\nPackage: mhnos\nArchitecture: any\n")
        .map_err(Failure::file("write", &control))?;
    let mut command = release.command("dpkg-shlibdeps");
    command.arg("-O").current_dir(&sources);
    for (path, _) in tree.files().filter(|(path, _)| path.starts_with("usr/bin")) {
        command.arg(folder.join(path));
    }
    let answer = program::output(&mut command)?;
    let libraries = answer.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    libraries.map(str::to_owned).ok_or_else(|| {
        Failure::Explained("dpkg-shlibdeps named no library, though the programs are linked with some".into())
    })
}

/// The sums that `dpkg --verify` compares installed files with.
fn sums(folder: &Path) -> Result<String> {
    let find = "find usr -type f -print0 | LC_ALL=C sort --zero-terminated | xargs --null md5sum";
    program::output(Command::new("sh").args(["-c", find]).current_dir(folder))
}

/// Lines of no more than this many characters.
fn folded(text: &str) -> Vec<String> {
    const WIDTH: usize = 76;
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_points_of_one_version_are_taken() {
        let changelog = "# Changes\n\n## 0.2.0\n\n- Next.\n\n## 0.1.0\n\nFirst.\n\n- One thing\n  on two lines.\n- Another.\n\n## 0.0.1\n\n- Old.\n";
        assert_eq!(changes(changelog, "0.1.0"), ["One thing on two lines.", "Another."]);
        assert!(changes(changelog, "0.3.0").is_empty());
    }

    #[test]
    fn long_text_is_folded() {
        let lines = folded(&"word ".repeat(40));
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() <= 76 && !line.ends_with(' ')));
    }
}
