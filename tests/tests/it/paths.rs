//! What `cwd`, `command` and `args` mean: three ways to name a file, one file, never one outside the workspace.

use std::os::unix::fs::symlink;

use mhnos_tests::v1::Client;
use mhnos_tests::{Runtime, Setup};
use serde_json::{Value, json};

/// Says where it runs, which file it is, and what it was given.
const SCRIPT: &str =
    "console.log(JSON.stringify({cwd: process.cwd(), file: __filename, args: process.argv.slice(2)}))";

async fn run_script(client: &mut Client, command: &str, args: &[&str], cwd: Value) -> Value {
    let pid = client.spawn("node", command, args, json!({"cwd": cwd})).await;
    let run = client.run(pid).await;
    serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{command} in {cwd}: {run:?}"))
}

/// The folder a terminal is started in, and what was said about it.
async fn started_in(client: &mut Client, cwd: &str) -> (String, String) {
    let pid = client.spawn("shell", "pwd", &[], json!({"cwd": cwd})).await;
    let run = client.run(pid).await;
    (run.stdout.trim_end().to_owned(), run.stderr)
}

#[tokio::test]
async fn all_names_of_a_folder_start_a_program_in_it() {
    let runtime = Runtime::start();
    runtime.write("projects/app/x", "");
    let mut client = Client::connect(&runtime).await;
    let root = runtime.workspace().display().to_string();
    let host_path = format!("{root}/projects/app");
    for name in [
        "/projects/app",
        "/workspace/projects/app",
        &host_path,
        "projects/app",
        "/projects/app/",
        "/../../projects/./app",
        "/projects/app/../app",
        "/workspace/../projects/app",
    ] {
        assert_eq!(started_in(&mut client, name).await, (host_path.clone(), String::new()), "{name}");
    }
    for name in ["/", "/workspace", "/workspace/", &root, "", "/..", "/projects/../../../.."] {
        assert_eq!(started_in(&mut client, name).await, (root.clone(), String::new()), "{name}");
    }
}

#[tokio::test]
async fn a_workspace_reached_through_a_symbolic_link_has_both_names() {
    let setup = Setup::default().allow_origin();
    std::fs::create_dir_all(setup.folder().join("real/app")).unwrap();
    symlink("real", setup.folder().join("workspace")).unwrap();
    let (alias, real) = (setup.folder().join("workspace/app"), setup.folder().join("real/app"));
    let runtime = setup.start();
    let mut client = Client::connect(&runtime).await;
    for name in [&alias, &real] {
        let (folder, said) = started_in(&mut client, name.to_str().unwrap()).await;
        assert_eq!((folder.as_str(), said.as_str()), (real.to_str().unwrap(), ""));
    }
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_the_nearest_above_and_a_line_says_so() {
    let runtime = Runtime::start();
    runtime.write("projects/x", "");
    let mut client = Client::connect(&runtime).await;
    let (folder, said) = started_in(&mut client, "/projects/app/deep").await;
    assert_eq!(folder, format!("{}/projects", runtime.workspace().display()));
    assert_eq!(said, "[mhnos-runtime] there is no folder /projects/app/deep: started in /projects\r\n");
    // A file is no folder.
    let (folder, said) = started_in(&mut client, "/projects/x").await;
    assert_eq!(folder, format!("{}/projects", runtime.workspace().display()));
    assert!(said.contains("/projects/x"));
}

#[tokio::test]
async fn no_name_of_a_folder_leads_out() {
    let runtime = Runtime::start();
    let root = runtime.workspace().display().to_string();
    let sibling = format!("{root}-evil");
    std::fs::create_dir_all(format!("{sibling}/deep")).unwrap();
    symlink(&sibling, runtime.workspace().join("out")).unwrap();
    symlink("..", runtime.workspace().join("up")).unwrap();
    let mut client = Client::connect(&runtime).await;
    for name in
        [sibling.as_str(), &format!("{root}/../workspace-evil"), "/out", "/out/deep", "/up", "/tmp", "/etc"]
    {
        let (folder, said) = started_in(&mut client, name).await;
        assert_eq!(folder, root, "{name}");
        assert!(said.contains("there is no folder"), "{name}: {said}");
    }
}

#[tokio::test]
async fn all_names_of_a_script_run_the_same_file() {
    let runtime = Runtime::start();
    let host_path = runtime.write("projects/app/x.js", SCRIPT).display().to_string();
    runtime.write("x.js", "process.exit(9)");
    let mut client = Client::connect(&runtime).await;
    for name in [
        "x.js",
        "./x.js",
        "/projects/app/x.js",
        "/workspace/projects/app/x.js",
        &host_path,
        "../app/x.js",
        "../../../../../projects/app/x.js",
        "/workspace/../../projects/app/x.js",
    ] {
        let said = run_script(&mut client, name, &[], json!("/projects/app")).await;
        assert_eq!(said["file"], host_path, "{name}");
        assert_eq!(said["cwd"], format!("{}/projects/app", runtime.workspace().display()));
    }
}

#[tokio::test]
async fn a_script_outside_cannot_be_named() {
    let runtime = Runtime::start();
    let evil = format!("{}-evil", runtime.workspace().display());
    std::fs::create_dir_all(&evil).unwrap();
    std::fs::write(format!("{evil}/x.js"), "console.log('escaped')").unwrap();
    symlink(&evil, runtime.workspace().join("out")).unwrap();
    symlink(format!("{evil}/x.js"), runtime.workspace().join("link.js")).unwrap();
    let mut client = Client::connect(&runtime).await;
    // By name it is looked for beneath the workspace, and not found there.
    for name in [format!("{evil}/x.js"), "../workspace-evil/x.js".into(), "/workspace-evil/x.js".into()] {
        let pid = client.spawn("node", &name, &[], json!({})).await;
        let run = client.run(pid).await;
        assert!(run.stderr.contains("Cannot find module"), "{name}: {run:?}");
        assert_eq!((run.exit["code"].as_i64(), run.stdout.as_str()), (Some(1), ""));
    }
    // Through a link the reason is named.
    for name in ["/out/x.js", "/link.js", "out/x.js"] {
        for kind in ["node", "python", "workerd"] {
            let request =
                json!({"type": "spawn", "processType": kind, "command": name, "args": [], "options": {}});
            let sentence = client.refusal(request).await;
            assert!(sentence.contains("leads out of the workspace through a symbolic link"), "{sentence}");
        }
    }
    let list = client.request(json!({"type": "status"})).await;
    assert_eq!(list["stats"]["totalSpawned"], 3);
}

#[tokio::test]
async fn an_argument_below_workspace_is_the_hosts_file_and_others_stay() {
    let runtime = Runtime::start();
    runtime.write("x.js", SCRIPT);
    let mut client = Client::connect(&runtime).await;
    let root = runtime.workspace().display().to_string();
    let given = [
        "/workspace/a.txt",
        "/workspace",
        "/workspace/../../etc/passwd",
        "/workspaces/a",
        "/etc/hosts",
        "--port",
        "3000",
        "-e",
        "--file=/workspace/a",
        "",
        "ä b\n\"c\"",
    ];
    let said = run_script(&mut client, "/workspace/x.js", &given, json!("/")).await;
    let changed = [format!("{root}/a.txt"), root.clone(), format!("{root}/etc/passwd")];
    let expected: Vec<&str> = changed.iter().map(String::as_str).chain(given[3..].iter().copied()).collect();
    assert_eq!(said["args"], json!(expected));
}

#[tokio::test]
async fn a_command_that_begins_with_a_dash_is_an_option() {
    let runtime = Runtime::start();
    runtime.write("module.py", "import sys; print('module', *sys.argv[1:])");
    let mut client = Client::connect(&runtime).await;
    for (kind, command, args, expected) in [
        ("node", "-e", &["console.log(6 * 7)"][..], "42"),
        ("node", "-p", &["process.argv.slice(1)", "/workspace/x"], "/x'"),
        ("python", "-c", &["print(6 * 7)"], "42"),
        ("python", "-m", &["module", "a"], "module a"),
    ] {
        let pid = client.spawn(kind, command, args, json!({"cwd": "/"})).await;
        let run = client.run(pid).await;
        assert!(run.stdout.contains(expected), "{kind} {command}: {run:?}");
    }
}

#[tokio::test]
async fn a_path_no_file_can_have_is_refused_in_a_sentence() {
    let runtime = Runtime::start();
    let mut client = Client::connect(&runtime).await;
    let long = "a".repeat(5000);
    for (field, value) in [("cwd", "/a\0b"), ("cwd", &long)] {
        let sentence = client
            .refusal(json!({"type": "spawn", "processType": "shell", "command": "true", "options": {field: value}}))
            .await;
        assert!(sentence.contains("zero byte") || sentence.contains("too long"), "{sentence}");
    }
    for command in ["/a\0b.js", &long] {
        let sentence = client
            .refusal(json!({"type": "spawn", "processType": "node", "command": command, "args": []}))
            .await;
        assert!(sentence.contains("zero byte") || sentence.contains("too long"), "{sentence}");
    }
    client.still_works().await;
}
