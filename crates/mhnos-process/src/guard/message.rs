//! What the runtime and a guard say to each other: length-prefixed messages over a Unix stream socket.
//!
//! Both ends are the same executable, started together, so the form may change freely and is not checked for hostile input.

use std::io;

/// Largest message either side accepts.
const LONGEST: usize = 8 << 20;

/// One program of a tree, as the operating system knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its process id.
    pub os_pid: i32,
    /// Its name.
    pub name: String,
}

/// Everything a guard needs to start its program. The file descriptors travel beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) terminal: bool,
    /// Whether the rules of its sandbox travel with it.
    pub(crate) confined: bool,
    pub(crate) data_limit: u64,
    pub(crate) program: Vec<u8>,
    pub(crate) arguments: Vec<Vec<u8>>,
    pub(crate) environment: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Runtime to guard, after the launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Deliver a signal to every program of the tree.
    Signal { signal: i32 },
    /// Deliver a signal, and force what is left after the grace.
    End { signal: i32, grace_milliseconds: u32 },
}

/// Guard to runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The program runs.
    Started { os_pid: i32, guard_pid: i32 },
    /// The program could not be started.
    Failed { errno: i32 },
    /// The signal of the oldest unanswered [`Order::Signal`] was delivered to these.
    Signalled(Vec<Member>),
    /// The program itself ended, with this wait status; the tree may live on for a while.
    Exited { status: i32 },
    /// Nothing of the tree is left but the survivors.
    Gone(Ending),
}

/// How a tree ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// Members that were there when the end was ordered.
    pub signalled: Vec<Member>,
    /// Members that were forced with SIGKILL.
    pub forced: Vec<Member>,
    /// Members the program left when it ended by itself.
    pub left_behind: Vec<Member>,
    /// Members that could not be ended.
    pub survived: Vec<Member>,
}

/// A message in the making.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn signed(&mut self, number: i32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn members(&mut self, members: &[Member]) {
        self.number(members.len() as u64);
        for member in members {
            self.signed(member.os_pid);
            self.bytes(member.name.as_bytes());
        }
    }

    fn finish(self) -> Vec<u8> {
        let mut message = (self.0.len() as u32).to_le_bytes().to_vec();
        message.extend_from_slice(&self.0);
        message
    }
}

/// A message being read.
struct Reader<'bytes>(&'bytes [u8]);

impl<'bytes> Reader<'bytes> {
    fn take(&mut self, length: usize) -> io::Result<&'bytes [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(garbled)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> io::Result<u64> {
        self.take(8)?.try_into().map(u64::from_le_bytes).map_err(|_| garbled())
    }

    fn signed(&mut self) -> io::Result<i32> {
        self.take(4)?.try_into().map(i32::from_le_bytes).map_err(|_| garbled())
    }

    fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let length = self.number()? as usize;
        Ok(self.take(length)?.to_vec())
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> io::Result<T>) -> io::Result<Vec<T>> {
        let count = self.number()?;
        (0..count).map(|_| item(self)).collect()
    }

    fn members(&mut self) -> io::Result<Vec<Member>> {
        self.list(|reader| {
            let os_pid = reader.signed()?;
            Ok(Member { os_pid, name: String::from_utf8_lossy(&reader.bytes()?).into_owned() })
        })
    }
}

fn garbled() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a garbled message between runtime and guard")
}

/// Length of the message whose first four bytes these are.
pub(crate) fn length(prefix: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(prefix) as usize;
    if length > LONGEST { Err(garbled()) } else { Ok(length) }
}

impl Launch {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.number(u64::from(self.terminal));
        writer.number(u64::from(self.confined));
        writer.number(self.data_limit);
        writer.bytes(&self.program);
        writer.number(self.arguments.len() as u64);
        for argument in &self.arguments {
            writer.bytes(argument);
        }
        writer.number(self.environment.len() as u64);
        for (name, value) in &self.environment {
            writer.bytes(name);
            writer.bytes(value);
        }
        writer.finish()
    }

    pub(crate) fn decode(message: &[u8]) -> io::Result<Self> {
        let mut reader = Reader(message);
        Ok(Self {
            terminal: reader.number()? != 0,
            confined: reader.number()? != 0,
            data_limit: reader.number()?,
            program: reader.bytes()?,
            arguments: reader.list(Reader::bytes)?,
            environment: reader.list(|reader| Ok((reader.bytes()?, reader.bytes()?)))?,
        })
    }
}

impl Order {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Signal { signal } => {
                writer.number(1);
                writer.signed(signal);
            }
            Self::End { signal, grace_milliseconds } => {
                writer.number(2);
                writer.signed(signal);
                writer.number(u64::from(grace_milliseconds));
            }
        }
        writer.finish()
    }

    pub(crate) fn decode(message: &[u8]) -> io::Result<Self> {
        let mut reader = Reader(message);
        match reader.number()? {
            1 => Ok(Self::Signal { signal: reader.signed()? }),
            2 => Ok(Self::End { signal: reader.signed()?, grace_milliseconds: reader.number()? as u32 }),
            _ => Err(garbled()),
        }
    }
}

impl Report {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Started { os_pid, guard_pid } => {
                writer.number(1);
                writer.signed(*os_pid);
                writer.signed(*guard_pid);
            }
            Self::Failed { errno } => {
                writer.number(2);
                writer.signed(*errno);
            }
            Self::Signalled(members) => {
                writer.number(3);
                writer.members(members);
            }
            Self::Exited { status } => {
                writer.number(4);
                writer.signed(*status);
            }
            Self::Gone(ending) => {
                writer.number(5);
                writer.members(&ending.signalled);
                writer.members(&ending.forced);
                writer.members(&ending.left_behind);
                writer.members(&ending.survived);
            }
        }
        writer.finish()
    }

    pub(crate) fn decode(message: &[u8]) -> io::Result<Self> {
        let mut reader = Reader(message);
        Ok(match reader.number()? {
            1 => Self::Started { os_pid: reader.signed()?, guard_pid: reader.signed()? },
            2 => Self::Failed { errno: reader.signed()? },
            3 => Self::Signalled(reader.members()?),
            4 => Self::Exited { status: reader.signed()? },
            5 => Self::Gone(Ending {
                signalled: reader.members()?,
                forced: reader.members()?,
                left_behind: reader.members()?,
                survived: reader.members()?,
            }),
            _ => return Err(garbled()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(message: Vec<u8>) -> Vec<u8> {
        assert_eq!(length(message[..4].try_into().unwrap()).unwrap(), message.len() - 4);
        message[4..].to_vec()
    }

    #[test]
    fn what_is_said_is_understood() {
        let launch = Launch {
            terminal: true,
            confined: true,
            data_limit: 1 << 30,
            program: b"/bin/sh".to_vec(),
            arguments: vec![b"-c".to_vec(), b"\xff".to_vec()],
            environment: vec![(b"A".to_vec(), b"".to_vec())],
        };
        assert_eq!(Launch::decode(&body(launch.encode())).unwrap(), launch);
        for order in [Order::Signal { signal: 10 }, Order::End { signal: 15, grace_milliseconds: 5000 }] {
            assert_eq!(Order::decode(&body(order.encode())).unwrap(), order);
        }
        let member = |os_pid| Member { os_pid, name: "sh".into() };
        for report in [
            Report::Started { os_pid: 7, guard_pid: 6 },
            Report::Failed { errno: 2 },
            Report::Signalled(vec![member(7), member(8)]),
            Report::Exited { status: 256 },
            Report::Gone(Ending { forced: vec![member(7)], survived: vec![member(9)], ..Ending::default() }),
        ] {
            assert_eq!(Report::decode(&body(report.encode())).unwrap(), report);
        }
    }

    #[test]
    fn a_cut_message_is_an_error() {
        let message = body(Report::Signalled(vec![Member { os_pid: 1, name: "init".into() }]).encode());
        for cut in 0..message.len() {
            assert!(Report::decode(&message[..cut]).is_err());
        }
    }
}
