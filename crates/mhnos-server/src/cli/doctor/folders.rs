//! Whether the workspace can be written to, and whether the state folder is private.

use std::io;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use cap_tempfile::TempFile;
use mhnos_server::state::StateDirectory;

use super::{Check, path_text};

pub(super) fn workspace(path: &Path) -> Check {
    const NAME: &str = "workspace";
    let shown = path_text(path);
    let other = "choose another with `--workspace` or MHNOS_WORKSPACE";
    let (tried, made_later) = match path.metadata() {
        Ok(metadata) if !metadata.is_dir() => {
            return Check::fail(
                NAME,
                format!("{shown} is not a folder"),
                format!("move it away, or {other}"),
            );
        }
        Ok(_) => (path, false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // It is made by `serve`, in the nearest folder that is there.
            let parent = path.ancestors().skip(1).find(|parent| parent.is_dir());
            (parent.unwrap_or(Path::new("/")), true)
        }
        Err(error) => return Check::fail(NAME, format!("{shown}: {error}"), other),
    };
    match (try_to_write(tried), made_later) {
        (Ok(()), false) => Check::ok(NAME, format!("{shown} can be written to")),
        (Ok(()), true) => Check::ok(NAME, format!("{shown} is made at the first start")),
        (Err(error), _) => Check::fail(
            NAME,
            format!("{} cannot be written to: {error}", path_text(tried)),
            format!("give yourself the right to (`ls -ld` says whose it is), or {other}"),
        ),
    }
}

/// Permissions do not tell (read-only file systems, full disks): a file is made, without a name.
fn try_to_write(folder: &Path) -> io::Result<()> {
    let folder = Dir::open_ambient_dir(folder, ambient_authority())?;
    TempFile::new_anonymous(&folder).map(drop)
}

/// That the folder is ours and closed to others was seen to when it was opened.
pub(super) fn state(state: &StateDirectory) -> Check {
    const NAME: &str = "state";
    let shown = path_text(state.path());
    if let Err(error) = try_to_write(state.path()) {
        let advice = "give yourself the right to, or choose another with `--state-dir`";
        return Check::fail(NAME, format!("{shown} cannot be written to: {error}"), advice);
    }
    // Whoever reads the token may start programs as this user.
    match (state.path().join("token").symlink_metadata(), state.token()) {
        (Err(_), _) => Check::ok(NAME, format!("{shown} is private; the token is made at the first start")),
        (Ok(_), Ok(_)) => Check::ok(NAME, format!("{shown} and the token in it are private")),
        (Ok(_), Err(error)) => Check::error(NAME, error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::super::Condition;
    use super::*;

    #[test]
    fn the_workspace_is_tried() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(workspace(folder.path()).status, Condition::Ok);
        assert!(workspace(&folder.path().join("a/b")).found.contains("first start"));
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
        write(folder.path().join("file"), "").unwrap();
        assert_eq!(workspace(&folder.path().join("file")).status, Condition::Fail);
        assert_eq!(workspace(Path::new("/proc/here")).status, Condition::Fail);
    }

    #[test]
    fn a_token_that_others_can_read_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let directory = StateDirectory::open(Some(folder.path())).unwrap();
        assert_eq!(state(&directory).status, Condition::Ok);
        let token = folder.path().join("token");
        write(&token, "0".repeat(64)).unwrap();
        set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(state(&directory).status, Condition::Ok);
        set_permissions(&token, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(state(&directory).status, Condition::Fail);
    }
}
