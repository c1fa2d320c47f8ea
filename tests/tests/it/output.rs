//! Output: every byte, once, in order, to everyone who wants it and at everyone's own pace.

use mhnos_protocol::frame::Kind;
use mhnos_protocol::v2::{Reply, Request};
use mhnos_tests::v2::{self, Incoming, View};
use mhnos_tests::{Random, Runtime, system, v1, within};
use serde_json::json;

/// Prints a file in pieces of odd sizes, each with a write of its own.
pub(crate) const PRINT_IN_PIECES: &str = "import os, sys\ncontent = open(sys.argv[1], 'rb').read()\nsizes = [int(s) for s in sys.argv[2].split(',')]\n\
    position = turn = 0\nwhile position < len(content):\n    position += os.write(1, content[position:position + sizes[turn % len(sizes)]])\n    turn += 1\n";

/// Where the log of a process ends now, and whether it runs.
async fn head(client: &mut v2::Client, pid: u32) -> (u64, bool) {
    match client.request(Request::List).await {
        Reply::Processes { processes, .. } => {
            let process = processes.into_iter().find(|process| process.pid == pid).expect("it is listed");
            (process.output, process.exit.is_none())
        }
        other => panic!("{other:?}"),
    }
}

async fn head_reaches(client: &mut v2::Client, pid: u32, wanted: u64) {
    within("the program prints", async {
        while head(client, pid).await.0 < wanted {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn standard_output_and_error_are_told_apart() {
    let runtime = Runtime::start();
    let program = "import os\nfor number in range(3):\n    os.write(1, b'out'); os.write(2, b'err')";
    let mut client = v1::Client::connect(&runtime).await;
    let pid = client.python(program).await;
    let run = client.run(pid).await;
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("outoutout", "errerrerr"));
    let mut client = v2::Client::connect(&runtime).await;
    let (view, exit) = client.run(v2::python(program, &[])).await;
    assert_eq!((view.bytes.len(), view.errors.as_slice()), (18, &b"errerrerr"[..]));
    assert!(exit.drained && exit.code == Some(0));
    // A terminal has one stream.
    let (view, _) = client.run(v2::terminal("echo out; echo err >&2")).await;
    assert_eq!((view.bytes.as_slice(), view.errors.len()), (&b"out\r\nerr\r\n"[..], 0));
}

#[tokio::test]
async fn a_character_may_be_cut_at_every_byte() {
    let runtime = Runtime::start();
    let text = Random::new(1).text(600);
    runtime.write("text", &text);
    let path = runtime.workspace().join("text").display().to_string();
    let mut client = v1::Client::connect(&runtime).await;
    for sizes in ["1", "2", "3", "1,2,3,5,7"] {
        let pid = client.spawn("python", "-c", &[PRINT_IN_PIECES, &path, sizes], json!({})).await;
        assert_eq!(client.run(pid).await.stdout, text, "written {sizes} bytes at a time");
        // And from the replay.
        client.request(json!({"type": "attach", "pid": pid})).await;
        assert_eq!(client.run(pid).await.stdout, text, "replayed");
    }
}

#[tokio::test]
async fn what_is_no_text_becomes_the_replacement_character_and_harms_nothing_around_it() {
    let runtime = Runtime::start();
    let bytes = Random::new(2).bytes(4000);
    runtime.write("bytes", &bytes);
    let path = runtime.workspace().join("bytes").display().to_string();
    let mut client = v1::Client::connect(&runtime).await;
    let pid = client.spawn("python", "-c", &[PRINT_IN_PIECES, &path, "7,1,64,2"], json!({})).await;
    assert_eq!(client.run(pid).await.stdout, String::from_utf8_lossy(&bytes));
    // A character that is never finished comes at the end.
    let pid = client.python("import os; os.write(1, b'a\\xf0\\x9f')").await;
    assert_eq!(client.run(pid).await.stdout, "a\u{fffd}");
}

#[tokio::test]
async fn a_short_run_is_whole_for_whoever_attaches_late() {
    let runtime = Runtime::start();
    let mut client = v2::Client::connect(&runtime).await;
    let mut spawn = v2::python("print('x' * 1000)", &[]);
    spawn.credit = None;
    let pid = client.spawn(spawn).await;
    head_reaches(&mut client, pid, 1001).await;
    within("it ends", async { while head(&mut client, pid).await.1 {} }).await;
    let mut late = v2::Client::connect(&runtime).await;
    assert_eq!(late.attach(pid, None, 1 << 20).await, (0, 1001, 0));
    let mut view = View::default();
    let exit = late.read_to_end(pid, &mut view).await;
    assert_eq!((view.bytes.len(), exit.code), (1001, Some(0)));
    // From beyond the end there is nothing but the end.
    assert_eq!(late.attach(pid, Some(5000), 1 << 20).await, (1001, 1001, 0));
    let mut view = View { from: 1001, ..View::default() };
    late.read_to_end(pid, &mut view).await;
    assert!(view.bytes.is_empty());
}

#[tokio::test]
async fn a_lost_connection_is_resumed_at_the_exact_byte() {
    let runtime = Runtime::start();
    let program = "import os\nfor number in range(150000): os.write(1, b'%d\\n' % number)";
    let expected: Vec<u8> = (0..150_000).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    let mut view = View::default();
    let mut client = v2::Client::connect(&runtime).await;
    let mut spawn = v2::python(program, &[]);
    spawn.credit = Some(100_001);
    let pid = client.spawn(spawn).await;
    client.read_output(pid, &mut view, 100_001).await;
    for credit in [1, 77_777, 65_536] {
        // No goodbye: the socket is simply gone.
        drop(client);
        client = v2::Client::connect(&runtime).await;
        let (from, to, gap) = client.attach(pid, Some(view.position()), credit).await;
        assert_eq!((from, gap), (view.position(), 0));
        assert!(to >= from);
        let wanted = view.bytes.len() + credit as usize;
        client.read_output(pid, &mut view, wanted).await;
        assert_eq!(view.bytes.len(), wanted, "not a byte more than granted");
    }
    client.tell(Request::Credit { pid, bytes: 1 << 20 }).await;
    client.read_to_end(pid, &mut view).await;
    assert!(view.bytes == expected, "every byte once");
}

#[tokio::test]
async fn output_that_is_no_longer_held_is_a_gap_of_known_size() {
    let runtime = Runtime::start();
    const LENGTH: u64 = 20 << 20;
    let content = Random::new(3).bytes(LENGTH as usize);
    runtime.write("content", &content);
    let path = runtime.workspace().join("content").display().to_string();
    let mut client = v2::Client::connect(&runtime).await;
    let mut spawn = v2::python(PRINT_IN_PIECES, &[&path, "100000"]);
    spawn.credit = None;
    let pid = client.spawn(spawn).await;
    head_reaches(&mut client, pid, LENGTH).await;
    let (from, to, gap) = client.attach(pid, Some(5), 1 << 20).await;
    assert_eq!(to, LENGTH);
    assert_eq!(gap, from - 5);
    assert!(from > 0 && from <= LENGTH - (16 << 20), "at least 16 MiB are held: {from}");
    let mut view = View { from, ..View::default() };
    client.read_to_end(pid, &mut view).await;
    assert!(view.bytes == content[from as usize..], "what is held is unharmed");
    // Without a wish there is no gap, and 1.x begins there as well.
    let (again, _, gap) = client.attach(pid, None, 0).await;
    assert_eq!((again, gap), (from, 0));
}

#[tokio::test]
async fn a_viewer_left_behind_in_mid_view_is_told_of_its_gap() {
    let runtime = Runtime::start();
    const LENGTH: u64 = 20 << 20;
    let content = Random::new(4).bytes(LENGTH as usize);
    runtime.write("content", &content);
    let path = runtime.workspace().join("content").display().to_string();
    let mut client = v2::Client::connect(&runtime).await;
    let mut spawn = v2::python(PRINT_IN_PIECES, &[&path, "100000"]);
    spawn.credit = Some(1000);
    let pid = client.spawn(spawn).await;
    let mut view = View::default();
    client.read_output(pid, &mut view, 1000).await;
    // It grants nothing more. After a while the program prints on without it.
    head_reaches(&mut client, pid, LENGTH).await;
    client.tell(Request::Credit { pid, bytes: 1 << 20 }).await;
    let gap =
        client.take_reply("a gap", |reply| matches!(reply, Reply::Gap { pid: of, .. } if *of == pid)).await;
    let Reply::Gap { from, to, .. } = gap else { unreachable!() };
    assert_eq!(from, 1000);
    let mut view = View { from: to, ..View::default() };
    client.read_to_end(pid, &mut view).await;
    assert!(view.bytes == content[to as usize..]);
    assert!(view.bytes.len() >= 16 << 20);
}

#[tokio::test]
async fn credit_is_kept_to_the_byte() {
    let runtime = Runtime::start();
    let mut client = v2::Client::connect(&runtime).await;
    let mut spawn = v2::python("import os, time\nos.write(1, b'x' * 10000)\ntime.sleep(1000)", &[]);
    spawn.credit = Some(0);
    let pid = client.spawn(spawn).await;
    head_reaches(&mut client, pid, 10_000).await;
    client.still_works().await;
    let mut view = View::default();
    let mut granted = 0;
    for credit in [0, 1, 1, 0, 2, 500, 3, 0] {
        client.tell(Request::Credit { pid, bytes: credit }).await;
        granted += credit as usize;
        client.read_output(pid, &mut view, granted).await;
        assert_eq!(view.bytes.len(), granted);
        for _ in 0..3 {
            client.still_works().await;
        }
    }
    // Whatever came that nobody asked for would be found before this answer.
    let number = client.begin(Request::Ping).await;
    loop {
        match client.next().await {
            Incoming::Frame(header, payload) => {
                panic!("more than granted: {header:?}, {} bytes", payload.len())
            }
            Incoming::Reply(reply)
                if v2::id_of(&reply) == Some(mhnos_protocol::RequestId::Number(number)) =>
            {
                break;
            }
            Incoming::Reply(_) => {}
        }
    }
    // Attaching anew counts anew: what is left of the old credit is gone.
    client.tell(Request::Credit { pid, bytes: 0 }).await;
    client.attach(pid, Some(0), 10).await;
    let mut view = View::default();
    client.read_output(pid, &mut view, 10).await;
    client.still_works().await;
    assert_eq!(view.bytes.len(), 10);
    // So much credit that a sum would overflow is as good as much.
    client.tell(Request::Credit { pid, bytes: u64::MAX }).await;
    client.tell(Request::Credit { pid, bytes: u64::MAX }).await;
    client.read_output(pid, &mut view, 10_000).await;
}

#[tokio::test]
async fn without_credit_the_end_still_waits_behind_the_last_byte() {
    let runtime = Runtime::start();
    let mut client = v2::Client::connect(&runtime).await;
    let mut spawn = v2::python("print('x' * 99)", &[]);
    spawn.credit = Some(99);
    let pid = client.spawn(spawn).await;
    let mut view = View::default();
    client.read_output(pid, &mut view, 99).await;
    within("it ends", async { while head(&mut client, pid).await.1 {} }).await;
    client.still_works().await;
    client.tell(Request::Credit { pid, bytes: 1 }).await;
    let exit = client.read_to_end(pid, &mut view).await;
    assert_eq!((view.bytes.len(), exit.code), (100, Some(0)));
}

#[tokio::test]
async fn two_viewers_get_the_same_bytes() {
    let runtime = Runtime::start();
    let mut first = v2::Client::connect(&runtime).await;
    let mut second = v2::Client::connect(&runtime).await;
    let program = "import os, sys\nsys.stdin.readline()\nfor number in range(100000): os.write(1 + number % 7 // 6, b'%d\\n' % number)";
    let pid = first.spawn(v2::python(program, &[])).await;
    second.attach(pid, Some(0), 1 << 20).await;
    first.send_input(pid, b"\n").await;
    let (mut one, mut two) = (View::default(), View::default());
    let (one_exit, two_exit) =
        tokio::join!(first.read_to_end(pid, &mut one), second.read_to_end(pid, &mut two));
    assert!(one.bytes == two.bytes && one.errors == two.errors && !one.errors.is_empty());
    assert_eq!(one_exit, two_exit);
}

#[tokio::test]
async fn nothing_of_a_process_comes_after_its_exit() {
    let runtime = Runtime::start();
    let mut client = v2::Client::connect(&runtime).await;
    // A child that prints on after its parent has ended, until it is ended itself.
    let script = "(trap 'echo last words; exit' TERM; touch ready; while :; do echo more; sleep 0.01; done) & \
                  until [ -e ready ]; do sleep 0.01; done; echo first";
    let pid = client.spawn(v2::bash(script)).await;
    let mut view = View::default();
    let exit = client.read_to_end(pid, &mut view).await;
    let text = String::from_utf8(view.bytes).unwrap();
    assert!(text.contains("last words"), "what it printed until its end is there: {text}");
    assert!(exit.drained && !exit.left_behind.is_empty());
    client.still_works().await;
    let rest = client.begin(Request::Ping).await;
    loop {
        match client.next().await {
            Incoming::Frame(header, _) => panic!("after the exit: {header:?}"),
            Incoming::Reply(reply) if v2::id_of(&reply) == Some(mhnos_protocol::RequestId::Number(rest)) => {
                break;
            }
            Incoming::Reply(_) => {}
        }
    }
}

#[tokio::test]
async fn who_stops_reading_slows_nobody_and_costs_little() {
    let runtime = Runtime::start();
    let mut stopped = v1::Client::connect_with_token(&runtime).await;
    let pid = stopped.python("import os\nline = b'y' * 65535 + b'\\n'\nwhile True: os.write(1, line)").await;
    stopped.of(pid).await;
    // From here on it reads nothing. Others do.
    let mut reader = v2::Client::connect(&runtime).await;
    let mut bystander = v2::Client::connect(&runtime).await;
    let (from, _, _) = reader.attach(pid, None, 4 << 20).await;
    let mut view = View { from, ..View::default() };
    let before = system::resident(runtime.os_pid());
    let mut ungranted = 0;
    while view.bytes.len() < 40 << 20 {
        let had = view.bytes.len();
        reader.read_frame(pid, &mut view).await;
        ungranted += view.bytes.len() - had;
        if ungranted > 1 << 20 {
            reader.tell(Request::Credit { pid, bytes: ungranted as u64 }).await;
            ungranted = 0;
            bystander.still_works().await;
        }
    }
    assert!(view.bytes.iter().enumerate().all(|(index, byte)| {
        *byte == if (from as usize + index) % 65536 == 65535 { b'\n' } else { b'y' }
    }));
    let grown = system::resident(runtime.os_pid()).saturating_sub(before);
    assert!(grown < 16 << 20, "memory does not grow with what one viewer leaves unread: {grown}");
    let mut controls = v1::Client::connect_with_token(&runtime).await;
    controls.request(json!({"type": "kill", "pid": pid, "signal": "SIGKILL"})).await;
}

#[tokio::test]
async fn replies_overtake_output() {
    let runtime = Runtime::start();
    let mut client = v2::Client::connect(&runtime).await;
    let mut spawn = v2::python("import os\nwhile True: os.write(1, b'y' * 65536)", &[]);
    spawn.credit = Some(64 << 20);
    let pid = client.spawn(spawn).await;
    let mut view = View::default();
    client.read_output(pid, &mut view, 1).await;
    for _ in 0..5 {
        let number = client.begin(Request::Ping).await;
        let mut before = 0;
        loop {
            match client.next().await {
                Incoming::Frame(header, payload) => {
                    assert_eq!(header.kind, Kind::Stdout);
                    before += payload.len() as u64;
                }
                Incoming::Reply(reply) => {
                    assert_eq!(v2::id_of(&reply), Some(mhnos_protocol::RequestId::Number(number)));
                    break;
                }
            }
        }
        client.tell(Request::Credit { pid, bytes: before }).await;
        assert!(before < 12 << 20, "only what the sockets hold comes first: {before}");
    }
}

#[tokio::test]
async fn a_view_of_ended_processes_is_bounded_and_the_oldest_is_forgotten() {
    let runtime = mhnos_tests::Setup::default().allow_origin().start();
    let mut client = v1::Client::connect(&runtime).await;
    for _ in 0..66 {
        let pid = client.spawn("shell", "true", &[], json!({})).await;
        client.run(pid).await;
    }
    let sentence = client.refusal(json!({"type": "attach", "pid": 1000})).await;
    assert!(sentence.contains("no process 1000"), "{sentence}");
    let reply = client.request(json!({"type": "attach", "pid": 1065})).await;
    assert_eq!(reply["type"], "attached");
    assert_eq!(client.run(1065).await.exit["code"], 0);
}
