//! `logs`: what a program printed, byte for byte and each stream where it belongs; without a pid, the runtime's own log.

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};
use mhnos_protocol::frame::Kind;
use mhnos_server::state::StateDirectory;

use super::arguments::LogsArguments;
use super::client::Client;
use super::client::feed::Arrival;
use super::failure::{Failure, SUCCESS};
use super::session::link::Link;
use super::session::{signals, streams};
use super::terminal::say;
use super::{format, output, runtime_log};

pub(crate) async fn run(
    state: &StateDirectory,
    arguments: &LogsArguments,
    as_json: bool,
) -> Result<i32, Failure> {
    let showing = async {
        match arguments.pid {
            Some(pid) => show(state, pid, arguments).await,
            None => {
                runtime_log::show(&state.log_directory(), arguments.follow, arguments.tail, as_json).await
            }
        }
    };
    tokio::select! {
        result = showing => match result {
            Ok(()) => Ok(SUCCESS),
            Err(Stopped::Unread) => Ok(output::signal_code(nix::libc::SIGPIPE)),
            Err(Stopped::Failed(failure)) => Err(failure),
        },
        // Ctrl-C is how one leaves `-f`.
        signal = signals::end() => Ok(output::signal_code(signal as i32)),
    }
}

/// Why no more is shown.
pub(crate) enum Stopped {
    /// Nobody reads this command's output any more.
    Unread,
    Failed(Failure),
}

impl<T: Into<Failure>> From<T> for Stopped {
    fn from(failure: T) -> Self {
        Self::Failed(failure.into())
    }
}

async fn show(state: &StateDirectory, pid: u32, arguments: &LogsArguments) -> Result<(), Stopped> {
    let client = Client::connect(state).await?;
    let (mut link, attached) = Link::attach(client, pid, None).await?;
    let end = if arguments.follow { u64::MAX } else { attached.to };
    let mut printer =
        Printer { position: attached.from, held: attached.to, tail: arguments.tail.map(Tail::new) };
    let mut ended = false;
    while printer.position < end && !ended {
        for arrival in link.take().await {
            match arrival {
                Arrival::Bytes { kind, offset, mut bytes } => {
                    let length = bytes.len();
                    // Without -f, what is printed from now on was not asked for.
                    bytes.truncate(usize::try_from(end.saturating_sub(offset)).unwrap_or(length));
                    printer.print(kind, offset, bytes).await?;
                    link.wrote(length).await;
                }
                Arrival::Gap { to, .. } => printer.skip(to),
                Arrival::Exit { to, .. } => {
                    ended = true;
                    if printer.position < to.min(end) {
                        printer.skip(to);
                    }
                }
                Arrival::Refused { error, .. } => say(format::plain(&error)),
                Arrival::Disconnected => (link, _) = link.resume(state, printer.position).await?,
            }
        }
    }
    printer.finish().await?;
    link.close().await;
    Ok(())
}

struct Printer {
    position: u64,
    /// Offset behind what was held when this command began: the last lines are counted from there.
    held: u64,
    /// Held output, until all of it came.
    tail: Option<Tail>,
}

impl Printer {
    async fn print(&mut self, kind: Kind, offset: u64, mut bytes: BytesMut) -> Result<(), Stopped> {
        self.position = offset + bytes.len() as u64;
        if let Some(tail) = &mut self.tail {
            let held = usize::try_from(self.held.saturating_sub(offset)).unwrap_or(usize::MAX);
            tail.pieces.push_back((kind, bytes.split_to(held.min(bytes.len()))));
            if self.position >= self.held {
                self.finish().await?;
            }
        }
        streams::write(kind, bytes).await.map_err(|_| Stopped::Unread)
    }

    fn skip(&mut self, to: u64) {
        let missing = to.saturating_sub(self.position);
        say(format!("{} of output are no longer held", format::bytes(missing)));
        self.position = to;
    }

    /// Prints what was held back.
    async fn finish(&mut self) -> Result<(), Stopped> {
        for (kind, bytes) in self.tail.take().map(Tail::lines).unwrap_or_default() {
            streams::write(kind, bytes).await.map_err(|_| Stopped::Unread)?;
        }
        Ok(())
    }
}

/// Output of which only the last lines are wanted. The runtime bounds what it holds, and so what is in here.
struct Tail {
    wanted: usize,
    pieces: VecDeque<(Kind, BytesMut)>,
}

impl Tail {
    fn new(wanted: usize) -> Self {
        Self { wanted, pieces: VecDeque::new() }
    }

    /// The last lines, of both streams together.
    fn lines(mut self) -> VecDeque<(Kind, BytesMut)> {
        let bytes = self.pieces.iter().rev().flat_map(|(_, bytes)| bytes.iter().rev());
        let length = last_lines(bytes.copied(), self.wanted);
        let mut surplus = self.pieces.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() - length;
        while let Some((_, bytes)) = self.pieces.front_mut() {
            if surplus < bytes.len() {
                bytes.advance(surplus);
                break;
            }
            surplus -= bytes.len();
            self.pieces.pop_front();
        }
        self.pieces
    }
}

/// How many bytes the last `wanted` lines have, given the bytes from the end backwards.
pub(crate) fn last_lines(backwards: impl Iterator<Item = u8>, wanted: usize) -> usize {
    let mut length = 0;
    let mut lines = 0;
    for (index, byte) in backwards.enumerate() {
        // A line's end belongs to it, and an unfinished last line is one too.
        if byte == b'\n' || index == 0 {
            if lines == wanted {
                break;
            }
            lines += 1;
        }
        length = index + 1;
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_the_end() {
        let last = |text: &str, wanted| {
            let length = last_lines(text.bytes().rev(), wanted);
            text[text.len() - length..].to_owned()
        };
        assert_eq!(last("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(last("a\nb\nc", 2), "b\nc");
        assert_eq!(last("a\n\n", 1), "\n");
        assert_eq!(last("a\nb\n", 9), "a\nb\n");
        assert_eq!(last("a\nb\n", 0), "");
        assert_eq!(last("", 3), "");
    }

    #[test]
    fn the_tail_spans_pieces_of_both_streams() {
        let mut tail = Tail::new(2);
        for (kind, text) in [(Kind::Stdout, "one\ntw"), (Kind::Stderr, "o\n"), (Kind::Stdout, "three\n")] {
            tail.pieces.push_back((kind, text.into()));
        }
        let lines: Vec<_> = tail.lines().into_iter().collect();
        assert_eq!(
            lines,
            [(Kind::Stdout, "tw".into()), (Kind::Stderr, "o\n".into()), (Kind::Stdout, "three\n".into())]
        );
    }
}
