//! Files that come by other ways than two-way sync: the 1.x push, `writeFile`, `mhnos-runtime push`.
//!
//! Who sends one remembers nothing of what was there. So nothing is deleted for it, what it replaces becomes a version, and a file that
//! is older than the one it would replace takes another name beside it: both are kept, and the two are listed as a conflict. Wall clocks decide only
//! between these two ways of keeping both.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use mhnos_protocol::v2::ErrorCode;
use mhnos_sync::hub::state::Conflict;
use mhnos_sync::model::RelativePath;
use mhnos_sync::plan::name::conflict_copy;
use mhnos_sync::rules::OWN_FOLDER;

use super::{Failure, Runtime, no_longer_allowed};
use crate::gate::Principal;
use crate::trust::Access;
use crate::workspace::Attributes;

/// Names tried for a conflict copy.
const NAMES: usize = 1000;

impl Runtime {
    /// Puts a file into the workspace. Whether that is allowed is looked at when it is whole, right before it takes its place.
    ///
    /// # Errors
    /// When it is not allowed (any more), the content ends too early, or the operating system refuses. Nothing has changed then.
    pub fn write_file(
        &self,
        principal: &Principal,
        path: &Path,
        attributes: Attributes,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder {
            self.make_directory(principal, folder)?;
        }
        self.refuse_own_folder(path)?;
        let mut permit = None;
        let mut conflict = None;
        let place = |file: &File| {
            permit = self.trust.permit_blocking(principal, Access::Files);
            if permit.is_none() {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            conflict = self.make_way(principal, path, attributes, file)?;
            let copy = conflict.as_ref().map(|conflict: &Conflict| OsString::from(conflict.copy.name()));
            Ok(copy)
        };
        let written = self.workspace.write(path, attributes, content, place);
        let was_allowed = permit.is_some();
        if written.is_ok() {
            // A sync that has stopped looks at everything when it begins again.
            if let Some(conflict) = conflict {
                tracing::info!(path = %conflict.path, copy = %conflict.copy, "an older file was kept beside the newer one");
                let _ = self.sync.driver().hint_blocking(conflict.copy.clone());
                let _ = self.sync.driver().conflict_blocking(conflict);
            } else if let Some(path) = synced(path) {
                let _ = self.sync.driver().hint_blocking(path);
            }
        }
        drop(permit);
        match written {
            Err(_) if !was_allowed && self.trust.access(principal).is_none() => {
                Err(no_longer_allowed(principal))
            }
            written => Ok(written?),
        }
    }

    /// Keeps what a file would replace: as a version, or, if it is the newer of the two, where it is. Then the conflict that makes.
    fn make_way(
        &self,
        principal: &Principal,
        path: &Path,
        attributes: Attributes,
        fresh: &File,
    ) -> io::Result<Option<Conflict>> {
        let Some(place) = synced(path) else { return Ok(None) };
        // What is no file is refused elsewhere, or is a link, which is replaced itself.
        let Ok((there, facts)) = self.workspace.read(path) else { return Ok(None) };
        if is_same(&there, fresh)? {
            return Ok(None);
        }
        if attributes.mtime.is_some_and(|mtime| mtime < facts.mtime) {
            let by = match principal {
                Principal::Control => "push".to_owned(),
                page @ Principal::Page(_) => page.to_string().replace("://", "-"),
            };
            for n in 1..=NAMES {
                let copy = conflict_copy(&place, &by, n).map_err(io::Error::other)?;
                match self.workspace.read(Path::new(copy.as_str())) {
                    // Pushed before, and still there: once is enough.
                    Ok((earlier, _)) if is_same(&earlier, fresh)? => {}
                    Ok(_) => continue,
                    Err(_) => {}
                }
                return Ok(Some(Conflict { path: place, copy, replica: by }));
            }
            return Err(io::Error::other("there are too many conflict copies of it: settle some first"));
        }
        self.sync.driver().keep_blocking(place)?;
        Ok(None)
    }

    /// The folder of two-way sync is not a page's to write.
    pub(super) fn refuse_own_folder(&self, path: &Path) -> Result<(), Failure> {
        if path.starts_with(OWN_FOLDER) {
            let error = format!("{OWN_FOLDER} belongs to the runtime: write somewhere else");
            return Err(Failure::new(ErrorCode::Forbidden, error));
        }
        Ok(())
    }
}

fn synced(path: &Path) -> Option<RelativePath> {
    RelativePath::new(path.to_str()?).ok()
}

/// Whether two files hold the same bytes.
fn is_same(one: &File, other: &File) -> io::Result<bool> {
    let lengths = (one.metadata()?.len(), other.metadata()?.len());
    if lengths.0 != lengths.1 {
        return Ok(false);
    }
    let (mut one, mut other) = (one.try_clone()?, other.try_clone()?);
    one.seek(SeekFrom::Start(0))?;
    other.seek(SeekFrom::Start(0))?;
    let (mut one, mut other) =
        (BufReader::with_capacity(BUFFER, one), BufReader::with_capacity(BUFFER, other));
    let (mut left, mut right) = ([0; CHUNK], [0; CHUNK]);
    let mut rest = lengths.0;
    while rest > 0 {
        let length = rest.min(CHUNK as u64) as usize;
        one.read_exact(&mut left[..length])?;
        other.read_exact(&mut right[..length])?;
        if left[..length] != right[..length] {
            return Ok(false);
        }
        rest -= length as u64;
    }
    Ok(true)
}

/// Bytes compared at once.
const CHUNK: usize = 16 << 10;
/// Bytes read at once.
const BUFFER: usize = 128 << 10;
