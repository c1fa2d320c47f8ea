//! A package for systems with rpm, made by `rpmbuild` from the same tree.

use super::Release;
use super::tree::{MAINTAINER, Tree};
use crate::checkout::Checkout;
use crate::failure::{Failure, Result};
use crate::program;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// What does not come from the sources: the building machine's name and clock, and links by which debuggers find programs.
const REPRODUCIBLE: [(&str, &str); 7] = [
    ("_buildhost", "reproducible"),
    ("use_source_date_epoch_as_buildtime", "1"),
    ("clamp_mtime_to_source_date_epoch", "1"),
    ("_build_id_links", "none"),
    ("debug_package", "%{nil}"),
    // The tree is as it is to be: nothing is stripped or compressed again.
    ("__os_install_post", "%{nil}"),
    ("_binary_payload", "w6.xzdio"),
];

pub(super) fn pack(checkout: &Checkout, release: &Release, tree: &Tree) -> Result<PathBuf> {
    let stage = release.fresh("rpm-stage")?;
    tree.write(&stage)?;
    let top = release.fresh("rpm")?;
    let spec = top.join("package.spec");
    let text = specification(checkout, release, tree, &stage)?;
    fs::write(&spec, text).map_err(Failure::file("write", &spec))?;
    let mut rpmbuild = release.command("rpmbuild");
    rpmbuild.args(["-bb", "--quiet", "--define"]).arg(format!("_topdir {}", top.display()));
    for (name, value) in REPRODUCIBLE {
        rpmbuild.arg("--define").arg(format!("{name} {value}"));
    }
    program::run(rpmbuild.arg(&spec))?;
    let name = format!("{}-{}-1.{}.rpm", tree.name, release.version, std::env::consts::ARCH);
    let built = top.join("RPMS").join(std::env::consts::ARCH).join(&name);
    let file = release.folder.join(name);
    fs::rename(&built, &file).map_err(Failure::file("move into place", &built))?;
    Ok(file)
}

fn specification(checkout: &Checkout, release: &Release, tree: &Tree, stage: &Path) -> Result<String> {
    // To rpmbuild a percent sign begins a macro.
    let script = |name: &str| super::script(checkout, "rpm", name).map(|text| text.replace('%', "%%"));
    let replaced = tree.replaces.map_or_else(String::new, |other| {
        format!("Provides: {other} = {}\nConflicts: {other}\n", release.version)
    });
    let mut text = format!(
        "Name: {}\n\
         Version: {}\n\
         Release: 1\n\
         Summary: {}\n\
         License: MIT OR Apache-2.0\n\
         Packager: {MAINTAINER}\n\
         Recommends: nodejs\n\
         Recommends: python3\n\
         {replaced}\
         \n%description\n{}\n\
         \n%install\ncp --archive {}/. %{{buildroot}}\n\
         \n%preun\n{}\n\
         \n%postun\n{}\n\
         \n%files\n",
        tree.name,
        release.version,
        tree.summary,
        tree.description,
        stage.display(),
        script("preun")?,
        script("postun")?
    );
    for (path, mode) in tree.files() {
        let _ = writeln!(text, "%attr({mode:o},root,root) \"/{}\"", path.display());
    }
    Ok(text)
}
