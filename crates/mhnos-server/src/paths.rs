//! What a path means that a page sends.
//!
//! The published client names files by three conventions: the browser's disk (`/projects/x.js`), the container's mount
//! (`/workspace/projects/x.js`) and, now and then, the host. All mean a file of the workspace. The rule, the same natively and
//! in a container: a path inside the host's workspace stays; else a leading `/workspace` is taken off; what remains is
//! resolved beneath the workspace's root, always, `..` never leading above it.
//!
//! This is arithmetic on names only. That no symbolic link leads out is seen to by whoever opens the path
//! ([`crate::workspace`]).

use std::path::{Component, Path, PathBuf};

use mhnos_protocol::limits::PATH_BYTES;

/// Where the container has its workspace, and what pages are used to.
const MOUNT: &str = "/workspace";

/// Why a path cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PathError {
    /// No operating system takes it.
    #[error("a path must not contain a zero byte")]
    ZeroByte,
    /// Longer than any file system takes.
    #[error("a path of {0} bytes is too long: at most {PATH_BYTES} are possible")]
    TooLong(usize),
}

/// The path, relative to the workspace's root and without `.` and `..`, that `named` means when the program runs in
/// `directory` (itself such a path). Empty: the root itself.
///
/// `roots` are the names of the workspace on the host: as the person gave it, and with its symbolic links resolved.
///
/// # Errors
/// When no file can have this name.
pub fn relative(named: &str, directory: &Path, roots: &[PathBuf]) -> Result<PathBuf, PathError> {
    if named.contains('\0') {
        return Err(PathError::ZeroByte);
    }
    if named.len() > PATH_BYTES {
        return Err(PathError::TooLong(named.len()));
    }
    let path = Path::new(named);
    if path.is_relative() {
        return Ok(clean(&directory.join(path)));
    }
    let absolute = Path::new("/").join(clean(path));
    let inside = roots
        .iter()
        .map(PathBuf::as_path)
        .chain([Path::new(MOUNT)])
        .find_map(|root| absolute.strip_prefix(root).ok());
    Ok(inside.map_or_else(|| clean(&absolute), Path::to_owned))
}

/// An argument, or a command that need not be a file: the host's path where it names the mount, else as it is.
pub fn argument(argument: String, root: &Path, roots: &[PathBuf]) -> String {
    let names_mount =
        argument == MOUNT || argument.strip_prefix(MOUNT).is_some_and(|rest| rest.starts_with('/'));
    // A container's workspace is the mount: there, and for what cannot be a path, nothing changes.
    match relative(&argument, Path::new(""), roots) {
        Ok(inside) if names_mount => {
            root.components().chain(inside.components()).collect::<PathBuf>().display().to_string()
        }
        _ => argument,
    }
}

/// The names of a path, with `.` left out and `..` carried out, never above the beginning.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn roots() -> Vec<PathBuf> {
        vec!["/home/me/mhnos-workspace".into(), "/data/ws".into()]
    }

    fn resolve(named: &str) -> String {
        relative(named, Path::new("projects/app"), &roots()).unwrap().display().to_string()
    }

    #[test]
    fn all_names_of_a_file_mean_the_same_file() {
        for named in [
            "/x.js",
            "/workspace/x.js",
            "/home/me/mhnos-workspace/x.js",
            "/data/ws/x.js",
            "//x.js",
            "/./a/../x.js",
            "../../x.js",
        ] {
            assert_eq!(resolve(named), "x.js", "{named}");
        }
        assert_eq!(resolve("x.js"), "projects/app/x.js");
        assert_eq!(resolve("/"), "");
        assert_eq!(resolve("/workspace"), "");
        assert_eq!(resolve("/workspace/workspace/a"), "workspace/a");
    }

    #[test]
    fn nothing_leads_out() {
        assert_eq!(resolve("/../../etc/passwd"), "etc/passwd");
        assert_eq!(resolve("/workspace/../../etc/passwd"), "etc/passwd");
        assert_eq!(resolve("../../../../../etc/passwd"), "etc/passwd");
        assert_eq!(resolve("/home/me/mhnos-workspace/../.ssh/id"), "home/me/.ssh/id");
        // A sibling whose name begins with the workspace's is not the workspace.
        assert_eq!(resolve("/home/me/mhnos-workspace-evil/x"), "home/me/mhnos-workspace-evil/x");
        assert_eq!(resolve("/workspace-evil/x"), "workspace-evil/x");
        assert_eq!(relative("/a\0b", Path::new(""), &roots()), Err(PathError::ZeroByte));
        assert_eq!(relative(&"a".repeat(5000), Path::new(""), &roots()), Err(PathError::TooLong(5000)));
    }

    #[test]
    fn arguments_change_only_where_they_name_the_mount() {
        let change = |given: &str| argument(given.into(), Path::new("/data/ws"), &roots());
        assert_eq!(change("/workspace/a.js"), "/data/ws/a.js");
        assert_eq!(change("/workspace/../etc/passwd"), "/data/ws/etc/passwd");
        assert_eq!(change("/workspace"), "/data/ws");
        for given in ["/etc/hosts", "--port", "3000", "-e", "/workspaces/a", "workspace/a", "", "a\0b"] {
            assert_eq!(change(given), given);
        }
    }

    proptest! {
        #[test]
        fn every_path_is_beneath(named in "[/.a-cw\\\\ ]{0,30}|(/?\\.\\./){0,5}[a-z/.]{0,9}", directory in "[a-c/]{0,6}") {
            let path = relative(&named, &clean(Path::new(&directory)), &roots()).unwrap();
            prop_assert!(path.components().all(|component| matches!(component, Component::Normal(_))));
        }
    }
}
