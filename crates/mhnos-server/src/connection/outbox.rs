//! What leaves a connection, and in which order.
//!
//! Replies and events first, then one frame of output, then one block of a file, and again: so a reply never waits for more than one
//! frame. Output is not queued here at all: each viewer is a cursor on a log, read when the socket takes more. So a client that
//! does not read costs what is in this queue and no more.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use mhnos_process::log::{Cursor, Next, Stream};
use mhnos_protocol::frame::{Header, Kind};
use mhnos_protocol::{limits, v1, v2};
use tokio::io::AsyncWrite;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::GOING_AWAY;
use super::v2::exit_of;
use crate::runtime::RuntimeProcess;
use crate::websocket::MessageWriter;

/// Blocks of files that wait to be written. At the bound, whoever reads the files waits.
const BLOCKS: usize = 4;

/// Something for the client.
pub(super) enum Outgoing {
    /// A text message.
    Text(String),
    /// A text message in two parts, the second shared with another message.
    TextParts(String, Arc<str>),
    /// The answer to a ping.
    Pong(Bytes),
    /// How much input a process was handed, as it is when this is written: so no report says less than one before it.
    InputReport(Arc<RuntimeProcess>),
    /// Show a process's output from now on, in place of an earlier view of it. The reply comes before the output.
    View { reply: Option<String>, viewer: Viewer },
    /// Stop showing a process's output. The reply comes behind it.
    Hide { pid: u32, reply: Option<String> },
    /// A viewer may be sent more.
    Credit { pid: u32, bytes: u64 },
    /// Say goodbye and end.
    Close(u16, String),
}

/// A block of a file.
pub(super) struct Block {
    pub(super) header: Header,
    pub(super) content: Bytes,
}

/// The way into the queue.
#[derive(Clone)]
pub(super) struct Outbox {
    queue: mpsc::Sender<Outgoing>,
    blocks: mpsc::Sender<Block>,
    /// Notified by the logs that are viewed.
    pub(super) wake: Arc<Notify>,
}

impl Outbox {
    /// Queues; waits while too much is queued. Whoever is gone is not told.
    pub(super) async fn send(&self, outgoing: Outgoing) {
        let _ = self.queue.send(outgoing).await;
    }

    /// Queues unless too much is queued.
    pub(super) fn try_send(&self, outgoing: Outgoing) {
        let _ = self.queue.try_send(outgoing);
    }

    /// Queues a block of a file. False when the client is gone.
    pub(super) async fn send_block(&self, block: Block) -> bool {
        self.blocks.send(block).await.is_ok()
    }
}

/// An outbox, and the future that empties it into the socket, to its close or to the connection's failure.
pub(super) fn open<W: AsyncWrite + Unpin>(writer: MessageWriter<W>) -> (Outbox, impl Future<Output = ()>) {
    let (queue, queued) = mpsc::channel(limits::REPLIES_WAITING);
    let (blocks, queued_blocks) = mpsc::channel(BLOCKS);
    let wake = Arc::new(Notify::new());
    let outbox = Outbox { queue, blocks, wake: Arc::clone(&wake) };
    let mut emptier = Emptier { writer, queued, queued_blocks, wake, viewers: Vec::new(), turn: 0 };
    (outbox, async move {
        if let Err(error) = emptier.run().await {
            tracing::debug!(%error, "a connection was lost");
        }
    })
}

struct Emptier<W> {
    writer: MessageWriter<W>,
    queued: mpsc::Receiver<Outgoing>,
    queued_blocks: mpsc::Receiver<Block>,
    wake: Arc<Notify>,
    viewers: Vec<Viewer>,
    /// Whose turn it is among the viewers.
    turn: usize,
}

impl<W: AsyncWrite + Unpin> Emptier<W> {
    async fn run(&mut self) -> io::Result<()> {
        loop {
            if !self.write_queued().await? {
                return Ok(());
            }
            let mut wrote = self.write_output().await?;
            if let Ok(block) = self.queued_blocks.try_recv() {
                if !self.write_block(&block).await? {
                    return Ok(());
                }
                wrote = true;
            }
            if wrote {
                continue;
            }
            self.writer.flush().await?;
            tokio::select! {
                outgoing = self.queued.recv() => match outgoing {
                    Some(outgoing) => if !self.write(outgoing).await? {
                        return Ok(());
                    },
                    None => return self.writer.flush().await,
                },
                Some(block) = self.queued_blocks.recv() => if !self.write_block(&block).await? {
                    return Ok(());
                },
                () = self.wake.notified() => {}
            }
        }
    }

    /// Writes the replies and events that wait. False when one was the last.
    async fn write_queued(&mut self) -> io::Result<bool> {
        while let Ok(outgoing) = self.queued.try_recv() {
            if !self.write(outgoing).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes a block behind what was queued before it: it may have come with its reply after the queue was looked at, and a client
    /// drops a frame of which no reply has told it yet. False when the connection is at its end.
    async fn write_block(&mut self, block: &Block) -> io::Result<bool> {
        let goes_on = self.write_queued().await?;
        if goes_on {
            self.writer.binary(&block.header.encode(), &block.content).await?;
        }
        Ok(goes_on)
    }

    /// False when this was the last.
    async fn write(&mut self, outgoing: Outgoing) -> io::Result<bool> {
        match outgoing {
            Outgoing::Text(text) => self.writer.text(text.as_bytes(), &[]).await?,
            Outgoing::TextParts(first, second) => {
                self.writer.text(first.as_bytes(), second.as_bytes()).await?
            }
            Outgoing::Pong(payload) => self.writer.pong(&payload).await?,
            Outgoing::InputReport(process) => {
                let report = v2::Reply::InputAccepted { pid: process.pid(), to: process.input_accepted().0 };
                self.writer.text(report.to_json().as_bytes(), &[]).await?;
            }
            Outgoing::View { reply, viewer } => {
                if let Some(reply) = reply {
                    self.writer.text(reply.as_bytes(), &[]).await?;
                }
                self.hide(viewer.process.pid());
                self.viewers.push(viewer);
            }
            Outgoing::Hide { pid, reply } => {
                self.hide(pid);
                if let Some(reply) = reply {
                    self.writer.text(reply.as_bytes(), &[]).await?;
                }
            }
            Outgoing::Credit { pid, bytes } => {
                for viewer in self.viewers.iter_mut().filter(|viewer| viewer.process.pid() == pid) {
                    viewer.grant(bytes);
                }
            }
            Outgoing::Close(code, reason) => {
                // The runtime has ended all programs: their last words and their exits come before the goodbye. Whoever does not
                // read them is not waited for (see `super::serve`).
                while code == GOING_AWAY && self.write_output().await? {}
                self.writer.close(code, &reason).await?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn hide(&mut self, pid: u32) {
        self.viewers.retain(|viewer| viewer.process.pid() != pid);
    }

    /// Writes one frame of the next viewer that has something. False when none has.
    async fn write_output(&mut self) -> io::Result<bool> {
        for step in 0..self.viewers.len() {
            let index = (self.turn + step) % self.viewers.len();
            let Some(viewer) = self.viewers.get_mut(index) else { break };
            match viewer.write(&mut self.writer).await? {
                Progress::Nothing => {}
                Progress::Some => {
                    self.turn = index + 1;
                    return Ok(true);
                }
                Progress::Ended => {
                    self.viewers.remove(index);
                    self.turn = index;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

enum Progress {
    Nothing,
    Some,
    Ended,
}

/// A process's output on its way to one client.
pub(super) struct Viewer {
    process: Arc<RuntimeProcess>,
    cursor: Cursor,
    form: Form,
}

/// The form in which a client takes output.
enum Form {
    /// As text in JSON. A character may be cut by the reads of its bytes, per stream.
    V1 {
        stdout: CutCharacter,
        stderr: CutCharacter,
        /// Nothing is shown before.
        shown_from: Instant,
    },
    /// As bytes, so many and no more.
    V2 { credit: u64 },
}

impl Viewer {
    /// A 1.x view from the first byte still held.
    pub(super) fn v1(process: Arc<RuntimeProcess>, outbox: &Outbox) -> Self {
        let cursor = process.log().cursor(None, Arc::clone(&outbox.wake));
        let stdout = CutCharacter::new(cursor.position() > 0);
        let form = Form::V1 { stdout, stderr: CutCharacter::new(false), shown_from: Instant::now() };
        Self { process, cursor, form }
    }

    /// The 1.x view that a spawn brings. The published client drops all that comes before its own attach, shows twice what
    /// crosses that attach on its way, and forgets a process whose exit comes before it: so this view begins a moment
    /// later, and an attach in the meantime takes its place.
    pub(super) fn v1_of_spawn(process: Arc<RuntimeProcess>, outbox: &Outbox) -> Self {
        let mut viewer = Self::v1(process, outbox);
        if let Form::V1 { shown_from, .. } = &mut viewer.form {
            *shown_from += limits::ATTACH_TIME;
            let (at, wake) = (*shown_from, Arc::clone(&outbox.wake));
            tokio::spawn(async move {
                tokio::time::sleep_until(at).await;
                wake.notify_one();
            });
        }
        viewer
    }

    /// A 2.0 view from an offset.
    pub(super) fn v2(process: Arc<RuntimeProcess>, outbox: &Outbox, from: Option<u64>, credit: u64) -> Self {
        let cursor = process.log().cursor(from, Arc::clone(&outbox.wake));
        let credit = credit.min(limits::VIEWER_CREDIT_BYTES);
        Self { process, cursor, form: Form::V2 { credit } }
    }

    /// Where it stands.
    pub(super) fn position(&self) -> u64 {
        self.cursor.position()
    }

    fn grant(&mut self, bytes: u64) {
        if let Form::V2 { credit } = &mut self.form {
            *credit = credit.saturating_add(bytes).min(limits::VIEWER_CREDIT_BYTES);
        }
    }

    /// Writes what stands at the cursor, one frame at most.
    async fn write<W: AsyncWrite + Unpin>(&mut self, writer: &mut MessageWriter<W>) -> io::Result<Progress> {
        let pid = self.process.pid();
        let most = match self.form {
            Form::V1 { shown_from, .. } if Instant::now() < shown_from => return Ok(Progress::Nothing),
            Form::V1 { .. } => limits::OUTPUT_FRAME_BYTES,
            Form::V2 { credit } => credit.min(limits::OUTPUT_FRAME_BYTES as u64) as usize,
        };
        let next = self.cursor.next(most);
        match (&mut self.form, next) {
            (_, Next::Pending) => return Ok(Progress::Nothing),
            (Form::V2 { credit }, Next::Bytes { offset, stream, bytes }) => {
                *credit -= bytes.len() as u64;
                let kind = match stream {
                    Stream::Stdout => Kind::Stdout,
                    Stream::Stderr => Kind::Stderr,
                };
                writer.binary(&Header { kind, channel: pid, offset }.encode(), &bytes).await?;
            }
            (Form::V2 { .. }, Next::Gap { from, to }) => {
                writer.text(v2::Reply::Gap { pid, from, to }.to_json().as_bytes(), &[]).await?;
            }
            (Form::V2 { .. }, Next::End(to)) => {
                if let Some(exit) = self.process.exit() {
                    writer
                        .text(v2::Reply::Exit { pid, to, exit: exit_of(&exit) }.to_json().as_bytes(), &[])
                        .await?;
                }
                return Ok(Progress::Ended);
            }
            (Form::V1 { stdout, stderr, .. }, Next::Bytes { stream, bytes, .. }) => {
                let (stream, cut) = match stream {
                    Stream::Stdout => (v1::Stream::Stdout, stdout),
                    Stream::Stderr => (v1::Stream::Stderr, stderr),
                };
                let mut text = None;
                cut.decode(&bytes, |whole| text = Some(v1::output(stream, pid, whole)));
                if let Some(text) = text {
                    writer.text(text.as_bytes(), &[]).await?;
                }
            }
            (Form::V1 { stdout, stderr, .. }, Next::Gap { from, to }) => {
                (*stdout, *stderr) = (CutCharacter::new(true), CutCharacter::new(true));
                let notice = format!(
                    "\r\n[mhnos-runtime] {} bytes of output were skipped: they were not read in time\r\n",
                    to - from
                );
                writer.text(v1::output(v1::Stream::Stderr, pid, &notice).as_bytes(), &[]).await?;
            }
            (Form::V1 { stdout, stderr, .. }, Next::End(_)) => {
                for (stream, cut) in [(v1::Stream::Stdout, stdout), (v1::Stream::Stderr, stderr)] {
                    if cut.is_cut() {
                        writer.text(v1::output(stream, pid, "\u{fffd}").as_bytes(), &[]).await?;
                    }
                }
                if let Some(exit) = self.process.exit() {
                    let exit = v1::Reply::Exit {
                        pid,
                        code: exit.code,
                        signal: exit.signal.map(mhnos_process::signal::name),
                        runtime: exit.runtime.as_millis() as u64,
                    };
                    writer.text(exit.to_json().as_bytes(), &[]).await?;
                }
                return Ok(Progress::Ended);
            }
        }
        Ok(Progress::Some)
    }
}

/// The beginning of a character whose end has not been read yet.
struct CutCharacter {
    bytes: Vec<u8>,
    /// Whether what comes may begin in the middle of a character, of which the beginning is gone.
    headless: bool,
}

impl CutCharacter {
    fn new(headless: bool) -> Self {
        Self { bytes: Vec::new(), headless }
    }

    fn is_cut(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Hands out the text that `bytes` complete, keeping a character that is cut at their end. What is not UTF-8 becomes U+FFFD.
    fn decode(&mut self, bytes: &[u8], hand_out: impl FnOnce(&str)) {
        let joined;
        let mut bytes = bytes;
        if std::mem::take(&mut self.headless) {
            // Continuation bytes, of which a character has three at most.
            let tail = bytes.iter().take(3).take_while(|&&byte| byte & 0xc0 == 0x80).count();
            bytes = &bytes[tail..];
        }
        if self.is_cut() {
            joined = [&self.bytes[..], bytes].concat();
            bytes = &joined;
        }
        let end = whole_characters(bytes);
        let cut = bytes[end..].to_vec();
        let whole = &bytes[..end];
        if !whole.is_empty() {
            match std::str::from_utf8(whole) {
                Ok(text) => hand_out(text),
                Err(_) => hand_out(&String::from_utf8_lossy(whole)),
            }
        }
        self.bytes = cut;
    }
}

/// Length without a character that is cut at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let byte = bytes[bytes.len() - back];
        let expected = match byte {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            0x80..=0xbf => continue,
            _ => 1,
        };
        if expected <= back {
            return bytes.len();
        }
        // What can no longer become a character is not waited for.
        let cut = &bytes[bytes.len() - back..];
        let hopeless = std::str::from_utf8(cut).is_err_and(|error| error.error_len().is_some());
        return if hopeless { bytes.len() } else { bytes.len() - back };
    }
    bytes.len()
}

#[cfg(test)]
mod tests;
