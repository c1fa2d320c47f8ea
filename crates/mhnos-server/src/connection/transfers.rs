//! Files on their way over a 2.0 connection, in blocks.
//!
//! Each transfer has the number of the request that opened it. A file that is read is sent as far as the client has granted credit. A
//! file that is written goes through a short queue to a thread that writes; when the queue is full the connection is
//! not read until there is room. Only a file that came whole is put in its place.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mhnos_protocol::frame::{Header, Kind};
use mhnos_protocol::v2::{ErrorCode, FileEntry, Reply, SkippedFile};
use mhnos_protocol::{RequestId, limits, v1};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::Session;
use super::outbox::Block;
use crate::runtime::Failure;
use crate::workspace::Attributes;

/// The files a connection reads and writes now.
#[derive(Default)]
pub(super) struct Transfers {
    open: HashMap<u32, Transfer>,
}

enum Transfer {
    Read { credit: Arc<Semaphore>, task: JoinHandle<()> },
    Write { blocks: mpsc::Sender<Bytes>, received: u64, size: u64, task: JoinHandle<()> },
}

impl Transfer {
    fn task(&self) -> &JoinHandle<()> {
        let (Self::Read { task, .. } | Self::Write { task, .. }) = self;
        task
    }
}

impl Drop for Transfers {
    fn drop(&mut self) {
        // Writers see their queue close before the file is whole, and leave nothing behind.
        for transfer in self.open.values() {
            if let Transfer::Read { task, .. } = transfer {
                task.abort();
            }
        }
    }
}

impl Transfers {
    /// The number of a new transfer.
    fn number(&mut self, id: Option<&RequestId>) -> Result<u32, Failure> {
        let Some(&RequestId::Number(number)) = id else {
            let error =
                "the id of a request that moves a file must be a whole number: its blocks are named by it";
            return Err(Failure::new(ErrorCode::Malformed, error));
        };
        self.open.retain(|_, transfer| !transfer.task().is_finished());
        if self.open.contains_key(&number) {
            return Err(Failure::new(
                ErrorCode::Malformed,
                format!("the id {number} is that of an open transfer"),
            ));
        }
        if self.open.len() >= limits::TRANSFERS_PER_CONNECTION {
            let error = format!("{} files are on their way already: wait until one is done", self.open.len());
            return Err(Failure::new(ErrorCode::Limit, error));
        }
        Ok(number)
    }

    /// Begins to send a file.
    pub(super) async fn read(
        &mut self,
        session: &Session,
        id: Option<RequestId>,
        path: PathBuf,
        credit: u64,
    ) -> Result<(), Failure> {
        let number = self.number(id.as_ref())?;
        let granted = Arc::new(Semaphore::new(0));
        grant(&granted, credit);
        let (session, semaphore) = (session.clone(), Arc::clone(&granted));
        let task = tokio::spawn(async move {
            if let Err(failure) = send_file(&session, id.clone(), number, path, &semaphore).await {
                session.fail_v2(id, failure).await;
            }
        });
        self.open.insert(number, Transfer::Read { credit: granted, task });
        Ok(())
    }

    /// Begins to receive a file.
    pub(super) fn write(
        &mut self,
        session: &Session,
        id: Option<RequestId>,
        path: PathBuf,
        size: u64,
        mtime: Option<u64>,
        executable: Option<bool>,
    ) -> Result<(), Failure> {
        if size > limits::WRITE_FILE_BYTES {
            let error = format!("a file of {size} bytes is larger than {}", limits::WRITE_FILE_BYTES);
            return Err(Failure::new(ErrorCode::Limit, error));
        }
        let number = self.number(id.as_ref())?;
        let (blocks, received) = mpsc::channel(limits::UPLOAD_BLOCKS_WAITING);
        let session = session.clone();
        let task = tokio::spawn(async move {
            let (runtime, principal) = (Arc::clone(&session.runtime), session.principal.clone());
            let written = tokio::task::spawn_blocking(move || {
                let attributes = Attributes { mtime, executable };
                runtime.write_file(&principal, &path, attributes, |file| receive_file(received, size, file))
            });
            match written.await {
                Ok(Ok(())) => session.reply_v2(Reply::Done { id }).await,
                Ok(Err(failure)) => session.fail_v2(id, failure).await,
                Err(error) => {
                    session
                        .fail_v2(
                            id,
                            Failure::new(ErrorCode::Failed, format!("the file was not written: {error}")),
                        )
                        .await;
                }
            }
        });
        self.open.insert(number, Transfer::Write { blocks, received: 0, size, task });
        Ok(())
    }

    /// Takes a block of a file that is written.
    pub(super) async fn take_block(&mut self, header: Header, content: Bytes) -> Result<(), Failure> {
        let number = header.channel;
        let Some(Transfer::Write { blocks, received, size, .. }) = self.open.get_mut(&number) else {
            let error = format!("no file is being written under the number {number}");
            return Err(Failure::new(ErrorCode::NotFound, error));
        };
        if header.offset != *received || *received + content.len() as u64 > *size {
            let error = format!(
                "a block of {} bytes at {} does not fit file {number}: {received} of {size} bytes have come",
                content.len(),
                header.offset
            );
            // Its writer finds the queue closed before the end, and leaves nothing behind.
            self.open.remove(&number);
            return Err(Failure::new(ErrorCode::Malformed, error));
        }
        *received += content.len() as u64;
        // A writer that has failed has said so, and takes no more.
        let _ = blocks.send(content).await;
        Ok(())
    }

    /// Lets a file that is read send more.
    pub(super) fn grant(&mut self, number: u32, bytes: u64) {
        if let Some(Transfer::Read { credit, .. }) = self.open.get(&number) {
            grant(credit, bytes);
        }
    }

    /// Gives a transfer up.
    pub(super) fn cancel(&mut self, number: u32) -> Result<(), Failure> {
        match self.open.remove(&number) {
            Some(Transfer::Read { task, .. }) => task.abort(),
            Some(Transfer::Write { .. }) => {}
            None => {
                return Err(Failure::new(
                    ErrorCode::NotFound,
                    format!("there is no transfer of the number {number}"),
                ));
            }
        }
        Ok(())
    }
}

fn grant(credit: &Semaphore, bytes: u64) {
    let room = limits::VIEWER_CREDIT_BYTES.saturating_sub(credit.available_permits() as u64);
    credit.add_permits(bytes.min(room) as usize);
}

async fn send_file(
    session: &Session,
    id: Option<RequestId>,
    number: u32,
    path: PathBuf,
    credit: &Semaphore,
) -> Result<(), Failure> {
    let workspace = Arc::clone(&session.runtime.workspace);
    let broken = |error: tokio::task::JoinError| Failure::new(ErrorCode::Failed, error.to_string());
    let shown = path.display().to_string();
    let (mut file, facts) =
        tokio::task::spawn_blocking(move || workspace.read(&path)).await.map_err(broken)??;
    let (size, mtime, executable) = (facts.size, facts.mtime, facts.executable);
    session.reply_v2(Reply::File { id, size, mtime, executable }).await;
    let mut offset = 0;
    while offset < size {
        // At least one byte of credit is waited for, and all there is of it used.
        let Ok(first) = credit.acquire().await else { return Ok(()) };
        let most = (size - offset).min(limits::OUTPUT_FRAME_BYTES as u64) as usize;
        let further = credit.available_permits().min(most - 1);
        let rest = credit.try_acquire_many(further as u32).ok();
        let length = 1 + if rest.is_some() { further } else { 0 };
        first.forget();
        if let Some(rest) = rest {
            rest.forget();
        }
        let read = tokio::task::spawn_blocking(move || {
            let mut content = BytesMut::zeroed(length);
            file.read_exact(&mut content).map(|()| (file, content.freeze()))
        });
        let content;
        (file, content) = read.await.map_err(broken)?.map_err(|error| {
            Failure::new(
                ErrorCode::Failed,
                format!("{shown} changed while it was read: {error}: read it again"),
            )
        })?;
        let header = Header { kind: Kind::File, channel: number, offset };
        offset += content.len() as u64;
        if !session.outbox.send_block(Block { header, content }).await {
            return Ok(());
        }
    }
    Ok(())
}

/// Writes the blocks as they come. An error when they end too early.
fn receive_file(mut blocks: mpsc::Receiver<Bytes>, size: u64, file: &mut dyn Write) -> io::Result<()> {
    let mut received = 0;
    while received < size {
        let Some(block) = blocks.blocking_recv() else {
            return Err(io::Error::other(format!(
                "only {received} of {size} bytes came: nothing was changed"
            )));
        };
        file.write_all(&block)?;
        received += block.len() as u64;
    }
    Ok(())
}

impl Session {
    /// Answers with everything below a path, in parts.
    pub(super) async fn list_files(&self, id: Option<RequestId>, path: PathBuf) {
        let leave = self.leave().await;
        let session = self.clone();
        tokio::spawn(async move {
            let (parts, mut received) = mpsc::channel::<(Vec<FileEntry>, Vec<SkippedFile>)>(2);
            let workspace = Arc::clone(&session.runtime.workspace);
            let walk = tokio::task::spawn_blocking(move || walk(&workspace, &path, &parts));
            while let Some((entries, skipped)) = received.recv().await {
                session.reply_v2(Reply::Files { id: id.clone(), entries, skipped, more: true }).await;
            }
            match walk.await {
                Ok(Ok(())) => {
                    let (entries, skipped) = (Vec::new(), Vec::new());
                    session.reply_v2(Reply::Files { id, entries, skipped, more: false }).await;
                }
                Ok(Err(failure)) => session.fail_v2(id, failure).await,
                Err(error) => session.fail_v2(id, Failure::new(ErrorCode::Failed, error.to_string())).await,
            }
            drop(leave);
        });
    }

    /// Makes a folder.
    pub(super) async fn make_directory(&self, id: Option<RequestId>, path: PathBuf) {
        let leave = self.leave().await;
        let session = self.clone();
        tokio::spawn(async move {
            let (runtime, principal) = (Arc::clone(&session.runtime), session.principal.clone());
            match tokio::task::spawn_blocking(move || runtime.make_directory(&principal, &path)).await {
                Ok(Ok(())) => session.reply_v2(Reply::Done { id }).await,
                Ok(Err(failure)) => session.fail_v2(id, failure).await,
                Err(error) => session.fail_v2(id, Failure::new(ErrorCode::Failed, error.to_string())).await,
            }
            drop(leave);
        });
    }
}

/// Walks a folder and hands out what it finds, so much at a time. Ends early when nobody takes it any more.
fn walk(
    workspace: &crate::workspace::Workspace,
    path: &std::path::Path,
    parts: &mpsc::Sender<(Vec<FileEntry>, Vec<SkippedFile>)>,
) -> Result<(), Failure> {
    let (mut entries, mut skipped) = (Vec::new(), Vec::new());
    workspace.walk(
        path,
        &mut |path, facts| {
            let kind = if facts.is_directory { v1::EntryKind::Directory } else { v1::EntryKind::File };
            entries.push(FileEntry {
                path,
                kind,
                size: facts.size,
                mtime: facts.mtime,
                executable: facts.executable,
            });
            entries.len() < limits::LISTING_ENTRIES
                || parts.blocking_send((std::mem::take(&mut entries), Vec::new())).is_ok()
        },
        &mut |path, reason| skipped.push(SkippedFile { path, reason: reason.into() }),
    )?;
    for skipped in skipped.chunks(limits::LISTING_ENTRIES) {
        let _ = parts.blocking_send((Vec::new(), skipped.to_vec()));
    }
    let _ = parts.blocking_send((entries, Vec::new()));
    Ok(())
}
