//! Where the runtime listens: on sockets of its own, or on those that a service manager opened for it.
//!
//! With socket activation (systemd's `.socket` units) the manager listens, and starts the runtime when somebody comes. It leaves
//! the sockets open in the new process, from descriptor 3 on, and says so in `LISTEN_FDS` and `LISTEN_PID`. They are looked at
//! before they are used: a wrong line in a unit must not make the runtime reachable from other machines.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{FromRawFd, OwnedFd};

pub use mhnos_process::system::{PortHolder, port_holder};
use nix::sys::socket::{SockType, getsockopt, sockopt};
use tokio::net::TcpListener;

/// Why the runtime does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The port is in use.
    #[error(
        "port {port} is taken{holder}: stop that program, or choose another port with --port (0 takes any free one)"
    )]
    PortTaken {
        /// Which.
        port: u16,
        /// By whom, where it can be seen.
        holder: String,
    },
    /// The operating system refused.
    #[error("{address} cannot be listened on: {error}")]
    Refused {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// What the service manager says it opened is not there.
    #[error(
        "LISTEN_PID and LISTEN_FDS name sockets that are not there ({0}): start the runtime without these variables"
    )]
    Handover(std::io::Error),
    /// A socket of the service manager's.
    #[error(
        "socket {number} of those the service manager opened {fault}: correct ListenStream= in the .socket unit"
    )]
    Inherited {
        /// Its place among them, from 1.
        number: usize,
        /// What is wrong with it.
        fault: String,
    },
}

/// The service manager's sockets where it opened some; else both loopback addresses of the port, and a `further` address where one
/// is wished.
///
/// # Errors
/// When the port is taken, an address cannot be had, or a socket of the service manager's is not one to be served on.
pub(crate) async fn listen(port: u16, further: Option<IpAddr>) -> Result<Vec<TcpListener>, ListenError> {
    match inherited()? {
        sockets if sockets.is_empty() => open(port, further).await,
        sockets => adopt(sockets, further),
    }
}

/// What the service manager left open for this process, and no program we start inherits. To be asked once.
fn inherited() -> Result<Vec<OwnedFd>, ListenError> {
    let descriptors = sd_notify::listen_fds().map_err(ListenError::Handover)?;
    let owned = descriptors.map(|descriptor| {
        // SAFETY: the variables name this process, so the descriptors were opened for it, and nobody else has taken them.
        #[allow(unsafe_code, reason = "the descriptors are known by number only")]
        unsafe {
            OwnedFd::from_raw_fd(descriptor)
        }
    });
    Ok(owned.collect())
}

/// Takes sockets that listen already.
fn adopt(sockets: Vec<OwnedFd>, further: Option<IpAddr>) -> Result<Vec<TcpListener>, ListenError> {
    let mut ports = Vec::new();
    let mut listeners = Vec::new();
    for (index, socket) in sockets.into_iter().enumerate() {
        let fault = |fault: String| ListenError::Inherited { number: index + 1, fault };
        let listens = getsockopt(&socket, sockopt::SockType) == Ok(SockType::Stream)
            && getsockopt(&socket, sockopt::AcceptConn) == Ok(true);
        if !listens {
            return Err(fault("does not listen for connections".into()));
        }
        let listener = std::net::TcpListener::from(socket);
        let address = listener.local_addr().map_err(|_| fault("has no address and port".into()))?;
        if !address.ip().is_loopback() && further != Some(address.ip()) {
            return Err(fault(format!("is {address}, which other machines can reach")));
        }
        ports.push(address.port());
        if ports[0] != address.port() {
            return Err(fault(format!("is {address}, and another has port {}", ports[0])));
        }
        let listener = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
        listeners.push(listener.map_err(|error| ListenError::Refused { address, error })?);
    }
    Ok(listeners)
}

async fn open(port: u16, further: Option<IpAddr>) -> Result<Vec<TcpListener>, ListenError> {
    const TRIES: usize = 16;
    let mut tries = 0;
    loop {
        tries += 1;
        let first = bind(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)).await?;
        let chosen = first.local_addr().map_or(port, |address| address.port());
        let second = match bind(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), chosen)).await {
            Ok(listener) => Some(listener),
            // A free port of one family may be taken in the other.
            Err(ListenError::PortTaken { .. }) if port == 0 && tries < TRIES => continue,
            Err(error @ ListenError::PortTaken { .. }) => return Err(error),
            // A machine without IPv6.
            Err(_) => None,
        };
        let third = match further {
            // An address that stands for all holds the loopback ones too, and cannot be had beside them.
            Some(address) if address.is_unspecified() => {
                drop((first, second));
                return Ok(vec![bind(SocketAddr::new(address, chosen)).await?]);
            }
            Some(address) => Some(bind(SocketAddr::new(address, chosen)).await?),
            None => None,
        };
        return Ok([first].into_iter().chain(second).chain(third).collect());
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            let holder = port_holder(address.port())
                .map(|holder| format!(" by {} (pid {})", holder.name, holder.os_pid))
                .unwrap_or_default();
            ListenError::PortTaken { port: address.port(), holder }
        }
        _ => ListenError::Refused { address, error },
    })
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn listening(address: &str) -> std::net::TcpListener {
        std::net::TcpListener::bind(address).unwrap()
    }

    fn refusal(sockets: Vec<OwnedFd>) -> String {
        adopt(sockets, None).unwrap_err().to_string()
    }

    #[tokio::test]
    async fn sockets_of_one_port_of_this_machine_are_taken() {
        let socket = listening("127.0.0.1:0");
        let port = socket.local_addr().unwrap().port();
        let taken = adopt(vec![socket.into()], None).unwrap();
        let coming = tokio::spawn(tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)));
        taken[0].accept().await.unwrap();
        coming.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_socket_that_others_reach_is_refused_unless_they_were_asked_for() {
        let refused = refusal(vec![listening("0.0.0.0:0").into()]);
        assert!(refused.contains("socket 1") && refused.contains("other machines"), "{refused}");
        assert!(adopt(vec![listening("0.0.0.0:0").into()], Some(Ipv4Addr::UNSPECIFIED.into())).is_ok());
    }

    #[tokio::test]
    async fn sockets_that_cannot_be_served_on_are_refused() {
        let two_ports = refusal(vec![listening("127.0.0.1:0").into(), listening("127.0.0.1:0").into()]);
        assert!(two_ports.contains("socket 2") && two_ports.contains("another has port"), "{two_ports}");
        assert!(refusal(vec![UdpSocket::bind("127.0.0.1:0").unwrap().into()]).contains("does not listen"));
        let folder = tempfile::tempdir().unwrap();
        let local = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        assert!(refusal(vec![local.into()]).contains("no address and port"));
    }
}
