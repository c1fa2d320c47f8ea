use std::fs::{create_dir_all, write};
use std::os::unix::fs::symlink;

use super::*;

fn places(state: &Path, workspace: &Path) -> Places {
    Places {
        workspace: workspace.to_owned(),
        home: state.join("home"),
        temporary: state.join("scratch/tmp"),
        made: state.join("scratch/made"),
        closed: state.to_owned(),
    }
}

fn sandbox(mode: Mode, support: Support) -> Sandbox {
    Sandbox::new(mode, &support, places(Path::new("/nowhere/state"), Path::new("/nowhere/workspace")))
}

#[test]
fn what_is_achieved_is_said_with_its_level() {
    let achieved = |mode, abi| sandbox(mode, Support::Landlock(abi)).achieved().unwrap();
    assert_eq!(achieved(Mode::Strict, 6), "strict (Landlock ABI 6)");
    assert_eq!(achieved(Mode::Strict, 99), "strict (Landlock ABI 99)");
    assert_eq!(achieved(Mode::Relaxed, 7), "relaxed (Landlock ABI 7)");
    let without = ": signals and abstract sockets are not closed off)";
    assert_eq!(achieved(Mode::Relaxed, 5), format!("relaxed (Landlock ABI 5{without}"));
    assert!(achieved(Mode::Relaxed, 4).contains("ABI 4: device controls, signals"));
    let none = sandbox(Mode::None, Support::Missing);
    assert!(none.achieved().unwrap().starts_with("none: limits only"));
    let confined = none.confine(&Toolchain::default(), Path::new("/bin/sh"), &[]).unwrap();
    assert!(confined.is_none());
}

#[test]
fn what_cannot_be_had_is_refused_with_the_reason_and_what_to_do_and_never_weakened() {
    for (mode, support, reason) in [
        (Mode::Strict, Support::Landlock(5), "has ABI 5, and it takes 6: use Linux 6.12 or newer"),
        (Mode::Strict, Support::SwitchedOff, "lsm=landlock"),
        (Mode::Strict, Support::Missing, "no Landlock"),
        (Mode::Relaxed, Support::Landlock(2), "has ABI 2, and it takes 3: use Linux 6.2 or newer"),
        (Mode::Relaxed, Support::SwitchedOff, "lsm=landlock"),
        (Mode::Relaxed, Support::Missing, "no Landlock"),
    ] {
        let sandbox = sandbox(mode, support);
        let refused = sandbox.confine(&Toolchain::default(), Path::new("/bin/sh"), &[]).unwrap_err();
        assert_eq!(sandbox.achieved().unwrap_err(), refused);
        let sentence = refused.to_string();
        assert!(sentence.contains(reason) && sentence.contains("--sandbox none"), "{sentence}");
        assert_eq!(sentence.contains("--sandbox relaxed"), mode == Mode::Strict, "{sentence}");
    }
}

#[test]
fn a_workspace_that_holds_what_is_closed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    create_dir_all(&state).unwrap();
    let sandbox = |mode, workspace: &Path| {
        Sandbox::new(mode, &Support::Landlock(7), places(&state, workspace)).achieved()
    };
    for mode in [Mode::Strict, Mode::Relaxed] {
        for workspace in [&state, folder.path()] {
            let sentence = sandbox(mode, workspace).unwrap_err().to_string();
            assert!(sentence.contains("the runtime's state folder"), "{sentence}");
        }
        sandbox(mode, &state.join("workspace")).unwrap();
        sandbox(mode, &folder.path().join("workspace")).unwrap();
    }
    sandbox(Mode::None, folder.path()).unwrap();
    // The person's home: whoever runs the tests has one.
    let home = tools::homes().pop().unwrap();
    assert!(sandbox(Mode::Strict, &home).unwrap_err().to_string().contains("your home"));
    sandbox(Mode::Relaxed, &home).unwrap();
    sandbox(Mode::Strict, &home.join("mhnos-workspace")).unwrap();
}

#[test]
fn a_folder_that_is_missing_is_named() {
    let sandbox = sandbox(Mode::Strict, probe());
    if sandbox.achieved().is_err() {
        eprintln!("skipped: this kernel has no Landlock to build rules with");
        return;
    }
    let error = sandbox.confine(&Toolchain::default(), Path::new("/bin/sh"), &[]).unwrap_err();
    assert!(error.to_string().contains("/nowhere/workspace"), "{error}");
}

#[test]
fn older_kernels_rules_can_be_made_too() {
    let Support::Landlock(newest) = probe() else {
        eprintln!("skipped: this kernel has no Landlock to build rules with");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let places = places(&folder.path().join("state"), &folder.path().join("workspace"));
    for path in [&places.workspace, &places.home, &places.temporary, &places.made] {
        create_dir_all(path).unwrap();
    }
    for abi in 3..=newest {
        let sandbox = Sandbox::new(Mode::Relaxed, &Support::Landlock(abi), places.clone());
        let toolchain = Toolchain::new(["/usr/bin".into()]);
        assert!(sandbox.confine(&toolchain, Path::new("/bin/sh"), &[]).unwrap().is_some(), "{abi}");
    }
}

/// An executable file.
fn program(path: PathBuf) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    create_dir_all(path.parent().unwrap()).unwrap();
    write(&path, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn of_a_home_only_what_belongs_to_the_tools_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().canonicalize().unwrap().join("me");
    program(home.join(".nvm/versions/node/v20/bin/node"));
    create_dir_all(home.join(".npm-global/bin")).unwrap();
    program(home.join(".npm-global/lib/node_modules/workerd/node_modules/deep/bin/workerd"));
    symlink(
        "../lib/node_modules/workerd/node_modules/deep/bin/workerd",
        home.join(".npm-global/bin/workerd"),
    )
    .unwrap();
    program(home.join("conda/bin/python3"));
    create_dir_all(home.join("conda/lib")).unwrap();
    create_dir_all(home.join("conda/private")).unwrap();
    program(home.join(".local/bin/openclaw"));
    program(home.join("bin/git"));
    let path = [".nvm/versions/node/v20/bin", ".npm-global/bin", "conda/bin", ".local/bin", "bin", "", ".."]
        .map(|folder| home.join(folder));
    let toolchain = Toolchain::new([std::env::join_paths(path).unwrap()]);
    let tools = tools::look(&toolchain, std::slice::from_ref(&home));
    let mut expected = [
        ".nvm",
        ".nvm/versions/node/v20/bin",
        ".nvm/versions/node/v20/bin/node",
        ".npm-global/bin",
        ".npm-global/lib/node_modules",
        ".npm-global/lib/node_modules/workerd/node_modules/deep/bin/workerd",
        "conda/bin",
        "conda/bin/python3",
        "conda/lib",
        ".local/bin",
        ".local/bin/openclaw",
        ".local/lib/node_modules",
        "bin",
        "bin/git",
        "lib/node_modules",
    ]
    .map(|path| home.join(path))
    .to_vec();
    expected.sort();
    let opened: Vec<_> =
        tools.folders().iter().filter(|path| path.starts_with(folder.path())).cloned().collect();
    assert_eq!(opened, expected);
    assert!(tools.know(&home.join("conda/bin/python3")) && tools.know(Path::new("/usr/bin/anything")));
    assert!(!tools.know(&home.join("conda/bin/other")));
}

#[test]
fn relaxed_opens_everything_but_the_way_to_what_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    for path in ["me/state/mhnos", "me/state/other", "me/documents"] {
        create_dir_all(root.join(path)).unwrap();
    }
    write(root.join("me/file"), "").unwrap();
    symlink("state", root.join("me/link")).unwrap();
    let places = places(&root.join("me/state/mhnos"), &root.join("workspace"));
    let grants = grants::relaxed(&places, &[]);
    let mut readable: Vec<_> = grants
        .iter()
        .filter(|grant| grant.right == grants::Right::Read && grant.path.starts_with(&root))
        .map(|grant| grant.path.strip_prefix(&root).unwrap().display().to_string())
        .collect();
    readable.sort();
    assert_eq!(readable, ["me/documents", "me/file", "me/state/mhnos/scratch/made", "me/state/other"]);
    let holds_closed = |grant: &&grants::Grant| places.closed.starts_with(&grant.path);
    let holders: Vec<_> = grants.iter().filter(holds_closed).collect();
    assert!(holders.iter().all(|grant| grant.right == grants::Right::List), "{holders:?}");
    assert!(!grants.iter().any(|grant| grant.path == Path::new("/dev")));
}
