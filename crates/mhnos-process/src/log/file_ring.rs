//! The part of a log that does not fit into memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use bytes::Bytes;

/// The older part of the log, in a file used as a ring: the byte at offset `o` stands at `o % capacity`.
pub(super) struct FileRing {
    capacity: u64,
    folder: PathBuf,
    /// First byte held.
    pub(super) start: u64,
    /// Made when it is first needed: most programs never print so much.
    file: Option<File>,
    failed: bool,
}

impl FileRing {
    /// An empty one, of so many bytes, in a file made in `folder` when it is needed.
    pub(super) fn new(capacity: u64, folder: PathBuf) -> Self {
        Self { capacity, folder, start: 0, file: None, failed: false }
    }

    /// Writes the bytes that follow those held, the first at `offset`. Without a file (disk full, folder gone) they are forgotten.
    pub(super) fn append(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        match self.write(offset, bytes) {
            Ok(()) => self.start = self.start.max(end.saturating_sub(self.capacity)),
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    tracing::warn!(folder = %self.folder.display(), %error,
                        "older output of a process cannot be kept in a file: only the newest is held");
                }
                self.start = end;
            }
        }
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        let beyond = bytes.len().saturating_sub(self.capacity as usize);
        let (offset, bytes) = (offset + beyond as u64, &bytes[beyond..]);
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile_in(&self.folder)?);
        }
        let Some(file) = &self.file else { return Ok(()) };
        let place = offset % self.capacity;
        let fits = bytes.len().min((self.capacity - place) as usize);
        file.write_all_at(&bytes[..fits], place)?;
        file.write_all_at(&bytes[fits..], 0)
    }

    /// Up to `most` bytes from `offset` on, fewer at the ring's seam.
    pub(super) fn read(&self, offset: u64, most: usize) -> std::io::Result<Bytes> {
        let file = self.file.as_ref().ok_or(std::io::ErrorKind::NotFound)?;
        let place = offset % self.capacity;
        let mut bytes = vec![0; most.min((self.capacity - place) as usize)];
        file.read_exact_at(&mut bytes, place)?;
        Ok(bytes.into())
    }
}
