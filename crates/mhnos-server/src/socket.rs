//! The sockets that messages come and go by: of TCP, and of this machine.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

/// A stream that can say when there is something to read before room is made for it.
pub trait Readable {
    /// Waits until there is something to read, or the stream has ended.
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;
}

impl Readable for tokio::net::tcp::OwnedReadHalf {
    async fn readable(&self) -> io::Result<()> {
        self.readable().await
    }
}

impl Readable for tokio::net::unix::OwnedReadHalf {
    async fn readable(&self) -> io::Result<()> {
        self.readable().await
    }
}

/// A socket whose two directions are used by two tasks.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// What is read from.
    type Read: AsyncRead + Readable + Unpin + Send + Sync;
    /// What is written to.
    type Write: AsyncWrite + Unpin + Send + 'static;

    /// Both directions, neither of which waits for the other.
    fn halves(self) -> (Self::Read, Self::Write);
}

impl Socket for tokio::net::TcpStream {
    type Read = tokio::net::tcp::OwnedReadHalf;
    type Write = tokio::net::tcp::OwnedWriteHalf;

    fn halves(self) -> (Self::Read, Self::Write) {
        self.into_split()
    }
}

impl Socket for tokio::net::UnixStream {
    type Read = tokio::net::unix::OwnedReadHalf;
    type Write = tokio::net::unix::OwnedWriteHalf;

    fn halves(self) -> (Self::Read, Self::Write) {
        self.into_split()
    }
}

impl Readable for &[u8] {
    async fn readable(&self) -> io::Result<()> {
        Ok(())
    }
}
