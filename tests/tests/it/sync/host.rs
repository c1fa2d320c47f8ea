//! What programs and people do to the workspace itself.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use mhnos_tests::sync::{Replica, files, status};
use mhnos_tests::v2::Client;
use mhnos_tests::{Runtime, Setup};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

fn git(folder: &std::path::Path, words: &[&str]) {
    let mut command = Command::new("git");
    let settings =
        ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"];
    command.current_dir(folder).args(settings).args(words).env("GIT_CONFIG_NOSYSTEM", "1");
    let output = command.output().expect("git can be executed");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn git_clone_and_checkout_arrive_without_their_git_folder() {
    let runtime = Runtime::start();
    let elsewhere = tempfile::tempdir().unwrap();
    let origin = elsewhere.path();
    git(origin, &["init", "-q"]);
    for number in 0..300 {
        let folder = origin.join(format!("src/{}", number % 10));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("f{number}")), format!("one {number}")).unwrap();
    }
    git(origin, &["add", "."]);
    git(origin, &["commit", "-qm", "one"]);
    git(origin, &["checkout", "-qb", "other"]);
    for number in 100..300 {
        fs::write(origin.join(format!("src/{}/f{number}", number % 10)), "two").unwrap();
    }
    git(origin, &["commit", "-qam", "two"]);
    let mut replica = Replica::opened(1, &runtime).await;
    replica.until_equal(runtime.workspace()).await;
    let origin = origin.to_str().unwrap();
    git(runtime.workspace(), &["clone", "-qb", "main", origin, "cloned"]);
    let arrived = |of: &Replica, text: &str| {
        of.synced()
            && (0..300).all(|number| {
                let wanted =
                    if text == "two" && number >= 100 { "two".to_owned() } else { format!("one {number}") };
                of.read(&format!("cloned/src/{}/f{number}", number % 10)) == Some(wanted)
            })
    };
    replica.until("all of it arrived", |of| arrived(of, "one")).await;
    assert!(!replica.folder().join("cloned/.git").exists());
    git(&runtime.workspace().join("cloned"), &["checkout", "-q", "other"]);
    replica.until("the other branch", |of| arrived(of, "two")).await;
    git(&runtime.workspace().join("cloned"), &["checkout", "-q", "main"]);
    replica.until("and back", |of| arrived(of, "one")).await;
}

#[tokio::test]
async fn names_that_are_no_text_links_and_pipes_are_told_and_stay_where_they_are() {
    let runtime = Runtime::start();
    let mut control = Client::connect(&runtime).await;
    let root = runtime.workspace();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    fs::write(root.join(OsStr::from_bytes(b"odd\xff")), "1").unwrap();
    symlink(outside.path(), root.join("link")).unwrap();
    mkfifo(&root.join("pipe"), Mode::from_bits_truncate(0o600)).unwrap();
    runtime.write("plain", "1");
    let mut replica = Replica::opened(1, &runtime).await;
    // A folder in place of the link would let it write through that.
    replica.write("link/secret", "overwritten");
    replica.changed().await;
    replica.until("what can be synced is", |of| of.read("plain").is_some()).await;
    let shown = status(&mut control).await;
    assert_eq!(shown.problem_count, 3, "{shown:?}");
    assert!(shown.problems.iter().all(|problem| !problem.reason.is_empty()));
    assert_eq!(fs::read_to_string(outside.path().join("secret")).unwrap(), "secret");
    assert!(fs::symlink_metadata(root.join("link")).unwrap().is_symlink());
}

#[tokio::test]
async fn a_file_that_is_read_only_is_replaced_and_keeps_its_permissions() {
    let runtime = Runtime::start();
    let path = runtime.write("locked", "1");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let mut replica = Replica::opened(1, &runtime).await;
    replica.until_equal(runtime.workspace()).await;
    fs::remove_file(replica.folder().join("locked")).unwrap();
    replica.write("locked", "2");
    replica.changed().await;
    replica.until_equal(runtime.workspace()).await;
    assert_eq!(fs::read_to_string(&path).unwrap(), "2");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o444);
}

#[tokio::test]
async fn saves_by_rename_and_by_truncation_arrive_as_one_file() {
    let runtime = Runtime::start();
    let path = runtime.write("text", "0");
    let mut replica = Replica::opened(1, &runtime).await;
    replica.until_equal(runtime.workspace()).await;
    for round in 1..8 {
        let text = format!("{round}");
        if round % 2 == 0 {
            // As vim does: the old one moved away, the new one made, the old one removed.
            fs::rename(&path, path.with_file_name("text~")).unwrap();
            fs::write(&path, &text).unwrap();
            fs::remove_file(path.with_file_name("text~")).unwrap();
        } else if round % 3 == 0 {
            // As IntelliJ does.
            fs::write(path.with_file_name("text___jb_tmp___"), &text).unwrap();
            fs::rename(path.with_file_name("text___jb_tmp___"), &path).unwrap();
        } else {
            fs::write(&path, "").unwrap();
            fs::write(&path, &text).unwrap();
        }
        replica.until("the save arrived", |of| of.read("text").as_ref() == Some(&text)).await;
        replica.until_equal(runtime.workspace()).await;
        assert_eq!(files(replica.folder()).len(), 1);
    }
}

#[tokio::test]
async fn ignore_rules_that_change_hold_and_delete_nothing() {
    let runtime = Runtime::start();
    runtime.write("logs/a", "1");
    runtime.write("node_modules/x/index.js", "1");
    let mut replica = Replica::opened(1, &runtime).await;
    replica.until("all but what is ignored", |of| of.read("logs/a").is_some() && of.synced()).await;
    assert!(!replica.folder().join("node_modules").exists());
    runtime.write(".mhnosignore", "logs\n");
    replica.until("the rules came over", |of| of.read(".mhnosignore").is_some() && of.synced()).await;
    fs::remove_dir_all(runtime.workspace().join("logs")).unwrap();
    runtime.write("marker", "1");
    replica.until("the rest goes on", |of| of.read("marker").is_some() && of.synced()).await;
    assert_eq!(replica.read("logs/a").as_deref(), Some("1"), "ignored is never deleted");
}

#[tokio::test]
async fn watch_limit_reached_what_is_not_watched_is_looked_at_again_and_again() {
    // The limit of a user namespace of its own: nobody else on this machine notices.
    let limit = "echo 20 >/proc/sys/user/max_inotify_watches && exec \"$0\" \"$@\"";
    let runtime =
        Setup::default().under("unshare", &["--user", "--map-root-user", "sh", "-c", limit]).start();
    for number in 0..60 {
        runtime.write(&format!("folder-{number}/file"), "before");
    }
    let mut replica = Replica::opened(1, &runtime).await;
    replica.until_equal(runtime.workspace()).await;
    for number in 0..60 {
        runtime.write(&format!("folder-{number}/file"), "after");
    }
    replica
        .until("all edits are there", |of| {
            (0..60).all(|number| of.read(&format!("folder-{number}/file")).as_deref() == Some("after"))
        })
        .await;
    let log = runtime.log();
    assert!(log.contains("max_user_watches"), "{log}");
}
