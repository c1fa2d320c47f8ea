//! `push`: copies a folder of this machine into the workspace.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use mhnos_protocol::frame::{Header, Kind};
use mhnos_protocol::v2::{Reply, Request};
use mhnos_server::state::StateDirectory;
use tokio::fs::OpenOptions;
use tokio::io::{AsyncReadExt, Take};

use super::walk::{Found, walk};
use super::{Copying, below, workspace_path};
use crate::cli::arguments::{PushArguments, milliseconds};
use crate::cli::client::{Client, Transfer, unexpected};
use crate::cli::failure::Failure;

/// Bytes of a file in one frame: large enough for speed, small enough that several files share the way.
const BLOCK_BYTES: usize = 256 << 10;

pub(crate) async fn run(
    state: &StateDirectory,
    arguments: &PushArguments,
    as_json: bool,
) -> Result<i32, Failure> {
    let shown = arguments.folder.display();
    let folder =
        arguments.folder.canonicalize().map_err(|error| Failure::system(format!("read {shown}"), &error))?;
    if !folder.is_dir() {
        return Err(Failure::Usage(format!("{shown} is not a folder: name the folder it is in")));
    }
    let to = workspace_path(&arguments.to)?;
    let client = Client::connect(state).await?;
    let push = Push { client, folder, to, copying: Copying::new() };
    let copy = push.copy(arguments.all, as_json);
    let result =
        push.copying.carry_out(copy, "push", &push.folder.to_string_lossy(), &push.to, as_json).await;
    push.client.close().await;
    result
}

struct Push {
    client: Client,
    folder: PathBuf,
    /// The folder of the workspace.
    to: String,
    copying: Copying,
}

impl Push {
    async fn copy(&self, all: bool, as_json: bool) -> Result<(), Failure> {
        let folder = self.folder.clone();
        let found = tokio::task::spawn_blocking(move || walk(&folder, all)).await;
        let found =
            found.map_err(|error| Failure::Other(format!("could not look through the folder: {error}")))?;
        let Found { files, innermost, directories, skipped, failed } = found;
        {
            let mut tally = self.copying.tally.borrow_mut();
            (tally.skipped, tally.failed, tally.directories) = (skipped, failed, directories);
        }
        self.copying.progress.borrow_mut().begin(files.iter().map(|(_, bytes)| bytes).sum(), as_json);
        self.copying.each(innermost, Clone::clone, |path| self.make_directory(path)).await?;
        self.copying.each(files, |(path, _)| path.clone(), |(path, _)| self.push_file(path)).await
    }

    async fn make_directory(&self, path: String) -> Result<(), Failure> {
        match self.client.request(Request::MakeDirectory { path: below(&self.to, &path) }).await? {
            Reply::Done { .. } => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn push_file(&self, path: String) -> Result<(), Failure> {
        let cannot_read = |error: std::io::Error| Failure::system("read it", &error);
        // What was a file when the folder was walked may be a link by now.
        let no_links = nix::libc::O_NOFOLLOW;
        let local = self.folder.join(&path);
        let file =
            OpenOptions::new().read(true).custom_flags(no_links).open(local).await.map_err(cannot_read)?;
        let metadata = file.metadata().await.map_err(cannot_read)?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let size = metadata.len();
        let request = Request::WriteFile {
            path: below(&self.to, &path),
            size,
            mtime: modified.map(milliseconds),
            executable: Some(metadata.permissions().mode() & 0o111 != 0),
        };
        let mut transfer = self.client.transfer(request, None).await?;
        if let Err(failure) = self.send_blocks(&mut transfer, file.take(size), size).await {
            // Nothing of a file that did not go whole may stay.
            self.client.tell(Request::Cancel { transfer: transfer.id }).await?;
            return Err(failure);
        }
        match transfer.answer().await? {
            Reply::Done { .. } => {
                let mut tally = self.copying.tally.borrow_mut();
                tally.files += 1;
                tally.bytes += size;
                Ok(())
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn send_blocks(
        &self,
        transfer: &mut Transfer,
        mut file: Take<tokio::fs::File>,
        size: u64,
    ) -> Result<(), Failure> {
        let mut block = vec![0; BLOCK_BYTES.min(usize::try_from(size).unwrap_or(BLOCK_BYTES))];
        let mut offset = 0;
        while offset < size {
            let read = file.read(&mut block).await.map_err(|error| Failure::system("read it", &error))?;
            if read == 0 {
                return Err(Failure::Other("it became shorter while it was read: push it again".into()));
            }
            // A refusal comes before the end; the rest of a large file need not be sent for it.
            if let Some(answer) = transfer.early_answer() {
                return Err(answer.map_or_else(|failure| failure, |reply| unexpected(&reply)));
            }
            let header = Header { kind: Kind::File, channel: transfer.id, offset };
            self.client.send_frame(header, &block[..read]).await?;
            offset += read as u64;
            self.copying.progress.borrow().advance(read as u64);
        }
        Ok(())
    }
}
