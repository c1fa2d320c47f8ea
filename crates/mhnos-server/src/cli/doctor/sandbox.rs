//! Whether programs can be closed in as the settings ask.

use std::path::Path;

use mhnos_process::sandbox::{Mode, Sandbox, Support, probe};
use mhnos_server::state::StateDirectory;

use super::Check;

pub(super) fn check(mode: Mode, workspace: &Path, state: &StateDirectory) -> Check {
    check_with(mode, &probe(), workspace, state)
}

fn check_with(mode: Mode, support: &Support, workspace: &Path, state: &StateDirectory) -> Check {
    const NAME: &str = "sandbox";
    let sandbox = Sandbox::new(mode, support, state.places(workspace.to_owned()));
    match sandbox.achieved() {
        Ok(achieved) if mode == Mode::None => Check::warn(
            NAME,
            achieved,
            "programs may read and change whatever you can: choose `--sandbox strict` to close them in",
        ),
        Ok(achieved) => Check::ok(NAME, achieved),
        Err(error) => Check::error(NAME, format!("no program is started: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Condition;
    use super::*;

    #[test]
    fn what_cannot_be_had_is_a_fault_and_what_was_given_up_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(&folder.path().join("state"))).unwrap();
        let check = |mode, support| check_with(mode, &support, &folder.path().join("workspace"), &state);
        let good = check(Mode::Strict, Support::Landlock(6));
        assert_eq!((good.status, good.found.as_str()), (Condition::Ok, "strict (Landlock ABI 6)"));
        let old = check(Mode::Strict, Support::Landlock(4));
        assert_eq!(old.status, Condition::Fail);
        assert!(old.found.contains("--sandbox relaxed"), "{}", old.found);
        assert_eq!(check(Mode::Relaxed, Support::Missing).status, Condition::Fail);
        assert_eq!(check(Mode::None, Support::Missing).status, Condition::Warn);
    }
}
