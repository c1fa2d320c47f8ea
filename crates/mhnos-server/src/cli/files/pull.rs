//! `pull`: copies the workspace, or a folder of it, into a folder of this machine.

use std::path::Path;
use std::sync::Arc;

use mhnos_protocol::v1::EntryKind;
use mhnos_protocol::v2::{FileEntry, Reply, Request, SkippedFile};
use mhnos_server::state::StateDirectory;

use super::landing::{Attributes, Incoming, Landing, is_plain};
use super::rules::{RULES_BYTES, RULES_FILE, Rules};
use super::{Copying, Remark, below, workspace_path};
use crate::cli::arguments::PullArguments;
use crate::cli::client::feed::{Arrival, Feed, WINDOW_BYTES, Window};
use crate::cli::client::{Client, unexpected};
use crate::cli::failure::Failure;

pub(crate) async fn run(
    state: &StateDirectory,
    arguments: &PullArguments,
    as_json: bool,
) -> Result<i32, Failure> {
    let from = workspace_path(&arguments.from)?;
    let client = Client::connect(state).await?;
    let shown = arguments.folder.display();
    let landing = Landing::open(&arguments.folder)
        .map_err(|error| Failure::system(format!("open the folder {shown}"), &error))?;
    let pull = Pull { client, landing, from, copying: Copying::new() };
    let copy = pull.copy(arguments.all, as_json);
    let result = pull.copying.carry_out(copy, "pull", &shown.to_string(), &pull.from, as_json).await;
    pull.client.close().await;
    result
}

struct Pull {
    client: Client,
    landing: Landing,
    /// The folder of the workspace.
    from: String,
    copying: Copying,
}

impl Pull {
    async fn copy(&self, all: bool, as_json: bool) -> Result<(), Failure> {
        let mut entries = self.list().await?;
        let rules = if all { Rules::none() } else { self.rules(&entries).await? };
        entries.retain(|entry| !rules.leave_out(Path::new(&entry.path), entry.kind == EntryKind::Directory));
        let (directories, files): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| entry.kind == EntryKind::Directory);
        self.copying.progress.borrow_mut().begin(files.iter().map(|file| file.size).sum(), as_json);
        let path = |entry: &FileEntry| entry.path.clone();
        self.copying.each(directories, path, |entry| self.make_directory(entry)).await?;
        self.copying.each(files, path, |entry| self.pull_file(entry)).await
    }

    /// What is in the folder, with paths from there.
    async fn list(&self) -> Result<Vec<FileEntry>, Failure> {
        let path = (!self.from.is_empty()).then(|| self.from.clone());
        let (entries, skipped) = match self.client.request(Request::ListFiles { path }).await? {
            Reply::Files { entries, skipped, .. } => (entries, skipped),
            other => return Err(unexpected(&other)),
        };
        let mut tally = self.copying.tally.borrow_mut();
        tally.skipped =
            skipped.into_iter().map(|SkippedFile { path, reason }| Remark { path, reason }).collect();
        let mut inside = Vec::new();
        for mut entry in entries {
            if entry.path == self.from && entry.kind == EntryKind::File {
                return Err(Failure::Usage(format!("{} is a file: name the folder it is in", self.from)));
            }
            let Some(path) = inner(&self.from, &entry.path) else { continue };
            if is_plain(path) {
                entry.path = path.to_owned();
                inside.push(entry);
            } else {
                tally.failed.push(Remark::new(entry.path, "not a path that can be made here"));
            }
        }
        Ok(inside)
    }

    /// The rules that lie in the workspace, higher ones first: a folder they leave out has no say.
    async fn rules(&self, entries: &[FileEntry]) -> Result<Rules, Failure> {
        let mut rules = Rules::new();
        let name =
            |entry: &&FileEntry| Path::new(&entry.path).file_name().is_some_and(|name| name == RULES_FILE);
        let mut files: Vec<&FileEntry> = entries.iter().filter(name).collect();
        files.retain(|file| file.kind == EntryKind::File && file.size <= RULES_BYTES);
        files.sort_by_key(|file| file.path.split('/').count());
        for file in files {
            let path = Path::new(&file.path);
            if rules.leave_out(path, false) {
                continue;
            }
            let mut text = Vec::new();
            let take = |bytes: &[u8]| {
                text.extend_from_slice(bytes);
                Ok(())
            };
            self.read(&file.path, take).await?;
            rules.add(path.parent().unwrap_or(Path::new("")), &String::from_utf8_lossy(&text));
        }
        Ok(rules)
    }

    async fn make_directory(&self, entry: FileEntry) -> Result<(), Failure> {
        let made = self.landing.make_directory(&entry.path);
        made.map_err(|error| Failure::system("make the folder", &error))?;
        self.copying.tally.borrow_mut().directories += 1;
        Ok(())
    }

    async fn pull_file(&self, entry: FileEntry) -> Result<(), Failure> {
        let cannot_write = |error: std::io::Error| Failure::system("write it", &error);
        let place = self.landing.place(&entry.path).map_err(cannot_write)?;
        let mut incoming = Incoming::new(&place).map_err(cannot_write)?;
        let take = |bytes: &[u8]| {
            incoming.write(bytes).map_err(cannot_write)?;
            self.copying.progress.borrow().advance(bytes.len() as u64);
            Ok(())
        };
        let (size, attributes) = self.read(&entry.path, take).await?;
        incoming.finish(&attributes).map_err(cannot_write)?;
        let mut tally = self.copying.tally.borrow_mut();
        tally.files += 1;
        tally.bytes += size;
        Ok(())
    }

    /// Reads a file to its end, block by block.
    async fn read(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(u64, Attributes), Failure> {
        let feed = Arc::new(Feed::default());
        let request = Request::ReadFile { path: below(&self.from, path), credit: WINDOW_BYTES };
        let mut transfer = self.client.transfer(request, Some(feed.clone())).await?;
        let (size, attributes) = match transfer.answer().await? {
            Reply::File { size, mtime, executable, .. } => (size, Attributes { mtime, executable }),
            other => return Err(unexpected(&other)),
        };
        let (mut position, mut window) = (0, Window::default());
        while position < size {
            for arrival in feed.take().await {
                match arrival {
                    Arrival::Bytes { offset, bytes, .. } if offset == position => {
                        if let Err(failure) = take(&bytes) {
                            self.client.tell(Request::Cancel { transfer: transfer.id }).await?;
                            return Err(failure);
                        }
                        position += bytes.len() as u64;
                        if let Some(bytes) = window.written(bytes.len() as u64) {
                            self.client.tell(Request::CreditFile { transfer: transfer.id, bytes }).await?;
                        }
                    }
                    Arrival::Refused { code, error } => return Err(Failure::Refused { code, error }),
                    Arrival::Disconnected => return Err(Failure::Disconnected),
                    Arrival::Bytes { .. } | Arrival::Gap { .. } | Arrival::Exit { .. } => {
                        return Err(Failure::Other("a part of it is missing: pull it again".into()));
                    }
                }
            }
        }
        Ok((size, attributes))
    }
}

/// A path from the workspace's root as one from the folder; the folder itself is none.
fn inner<'path>(folder: &str, path: &'path str) -> Option<&'path str> {
    if folder.is_empty() {
        return Some(path);
    }
    path.strip_prefix(folder)?.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_from_the_folder() {
        assert_eq!(inner("", "a/b"), Some("a/b"));
        assert_eq!(inner("a", "a/b"), Some("b"));
        assert_eq!(inner("a", "a"), None);
        assert_eq!(inner("a", "ab/c"), None);
    }
}
