//! The programs to be packed, each compiled once however many packages it goes into.

use super::Kind;
use crate::checkout::{Checkout, DESKTOP, RUNTIME};
use crate::compile::{self, Libc};
use crate::failure::{Failure, Result};
use crate::setup;
use std::path::{Path, PathBuf};

/// What was compiled.
#[derive(Default)]
pub(crate) struct Programs {
    system: Option<PathBuf>,
    desktop: Option<PathBuf>,
    portable: Option<PathBuf>,
}

impl Programs {
    /// Compiles what these packages need.
    pub(crate) fn build(checkout: &Checkout, kinds: &[Kind]) -> Result<Self> {
        let mut programs = Self::default();
        if kinds.iter().any(|kind| matches!(kind, Kind::Desktop | Kind::DesktopRpm | Kind::AppImage)) {
            setup::for_desktop()?;
            let folder = compile::programs(checkout, &[RUNTIME, DESKTOP], Libc::Gnu)?;
            programs.system = Some(folder.join(RUNTIME));
            programs.desktop = Some(folder.join(DESKTOP));
        } else if kinds.iter().any(|kind| *kind != Kind::Archive) {
            programs.system = Some(compile::programs(checkout, &[RUNTIME], Libc::Gnu)?.join(RUNTIME));
        }
        if kinds.contains(&Kind::Archive) {
            programs.portable = Some(compile::programs(checkout, &[RUNTIME], Libc::Static)?.join(RUNTIME));
        }
        Ok(programs)
    }

    /// The runtime for a system with the GNU C library.
    pub(crate) fn system(&self) -> Result<&Path> {
        self.system.as_deref().ok_or_else(not_compiled)
    }

    /// The desktop app.
    pub(super) fn desktop(&self) -> Result<&Path> {
        self.desktop.as_deref().ok_or_else(not_compiled)
    }

    /// The runtime for every Linux.
    pub(super) fn portable(&self) -> Result<&Path> {
        self.portable.as_deref().ok_or_else(not_compiled)
    }
}

fn not_compiled() -> Failure {
    Failure::Explained("the program of this package was not compiled".into())
}
