//! Folders full of files without a pattern, the same in every run.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::Result;

/// Files in one folder.
const IN_A_FOLDER: usize = 100;

/// Numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            chunk.copy_from_slice(&self.0.to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Makes a folder with so many files of so many bytes, a hundred in each of its folders. Another `seed`, other contents.
pub(super) fn make(folder: &Path, files: usize, bytes: usize, seed: u64) -> Result<()> {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ (seed << 32 | 1));
    let mut content = vec![0; bytes];
    for file in 0..files {
        let inner = folder.join((file / IN_A_FOLDER).to_string());
        if file % IN_A_FOLDER == 0 {
            fs::create_dir_all(&inner)?;
        }
        numbers.fill(&mut content);
        fs::write(inner.join(format!("{}.bin", file % IN_A_FOLDER)), &content)?;
    }
    Ok(())
}

/// Files and folders in such a folder, itself included.
pub(super) fn entries(files: usize) -> usize {
    files + files.div_ceil(IN_A_FOLDER) + 1
}

/// Makes one file of so many MiB.
pub(super) fn make_large(file: &Path, mebibytes: usize, seed: u64) -> Result<()> {
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d ^ (seed << 32 | 1));
    let mut content = vec![0; 1 << 20];
    let mut file = BufWriter::new(fs::File::create(file)?);
    for _ in 0..mebibytes {
        numbers.fill(&mut content);
        file.write_all(&content)?;
    }
    file.into_inner()?.sync_all()?;
    Ok(())
}

/// Fails unless two folders have the same files with the same contents.
pub(super) fn compare(one: &Path, other: &Path) -> Result<()> {
    let output = std::process::Command::new("diff")
        .args(["-rq", "--exclude=.mhnos-sync", "--exclude=.stfolder"])
        .args([one, other])
        .output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("not equal: {}", String::from_utf8_lossy(&output.stdout)).into())
    }
}
