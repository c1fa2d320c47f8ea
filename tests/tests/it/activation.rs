//! A service manager's part: sockets it opened for the runtime, and what it is told of its state.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::net::UnixDatagram;

use mhnos_tests::http::exchange_on;
use mhnos_tests::v1::Client;
use mhnos_tests::{Runtime, Setup, system};
use nix::sys::signal::Signal;

/// Does what a `.socket` unit does: listens on a free port of the addresses, leaves the sockets from descriptor 3 on, and becomes the
/// runtime.
const OPEN_SOCKETS: &str = r#"
import os, socket, sys
addresses, port, sockets = sys.argv[1].split(","), 0, []
for address in addresses:
    one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    one.bind((address, port))
    one.listen()
    port = one.getsockname()[1]
    sockets.append(one)
# By way of higher numbers, because 3 or 4 may be one of them.
for index, number in enumerate([os.dup2(one.fileno(), 20 + index) for index, one in enumerate(sockets)]):
    os.dup2(number, 3 + index, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)))
os.execv(sys.argv[2], sys.argv[2:])
"#;

fn activated(addresses: &str) -> Setup {
    Setup::default().allow_origin().under("python3", &["-c", OPEN_SOCKETS, addresses])
}

async fn is_healthy(runtime: &Runtime, address: IpAddr) -> bool {
    let request =
        format!("GET /health HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n\r\n", runtime.port());
    exchange_on(address, runtime.port(), request).await.0.status == 200
}

#[tokio::test]
async fn the_sockets_of_a_service_manager_are_served_and_no_others() {
    let runtime = activated("127.0.0.1,::1").start();
    for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        assert!(is_healthy(&runtime, address).await, "{address}");
    }
    assert_eq!(system::listening_addresses(runtime.os_pid()).len(), 2);
    // A program gets neither the sockets nor the variables.
    let mut client = Client::connect(&runtime).await;
    // Without a pipe in the second command, whose ends the shell would have under these numbers for a moment.
    let look = "env | grep ^LISTEN_; for fd in 3 4; do [ -e /proc/$$/fd/$fd ] && echo $fd; done; echo none";
    let pid = client.bash(look).await;
    assert_eq!(client.run(pid).await.stdout.trim_end(), "none");
}

#[tokio::test]
async fn a_socket_that_other_machines_reach_is_refused() {
    let refused = activated("0.0.0.0").try_start();
    let refused = refused.err().expect("nothing is served");
    assert_eq!(refused.code, Some(1));
    assert!(refused.said.contains("which other machines can reach"), "{}", refused.said);
}

#[tokio::test]
async fn a_service_manager_is_told_when_the_runtime_is_ready_and_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(mhnos_tests::DEADLINE)).unwrap();
    let told = |manager: &UnixDatagram| {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut runtime = Setup::default().env("NOTIFY_SOCKET", folder.path().join("notify")).start();
    assert_eq!(told(&manager), "READY=1\n");
    assert!(is_healthy(&runtime, Ipv4Addr::LOCALHOST.into()).await);
    runtime.stop(Signal::SIGTERM).await;
    assert_eq!(told(&manager), "STOPPING=1\n");
}
