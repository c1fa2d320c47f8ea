//! Gives memory back while nobody looks.
//!
//! Most of what a hidden app holds is code: that of the web view's library, which the start touched everywhere and which a tray icon never
//! uses. Its pages are as they are in the file, so they can be let go at any time and are read again, from the system's cache, where one
//! is needed after all. What the allocator keeps of a closed window goes with them, and the process that loaded the window's files: the library
//! keeps it for the next web view (<https://github.com/tauri-apps/tauri/issues/14626>), and starts another where it is missed.

use std::ffi::c_void;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::time::Duration;

use nix::libc;
use nix::sys::mman::{MmapAdvise, madvise};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tauri::AppHandle;

use crate::window;

/// How long there must be no window: its end, and the start without one, use code for a moment yet.
const AFTER: Duration = Duration::from_secs(3);

/// The name of the library's process for loading; the system keeps 15 letters of it.
const LOADER: &str = "WebKitNetworkPr";

/// Gives back what can be, unless the window is opened meanwhile.
pub(crate) async fn give_back_when_hidden(app: AppHandle) {
    tokio::time::sleep(AFTER).await;
    let handle = app.clone();
    // Where windows are made, so that none is made meanwhile that needs the loader.
    let given = app.run_on_main_thread(move || {
        if !window::is_open(&handle)
            && let Err(error) = end_loader().and_then(|()| give_back())
        {
            tracing::debug!(%error, "memory could not be given back");
        }
    });
    if let Err(error) = given {
        tracing::debug!(%error, "memory is not given back: the app is ending");
    }
}

/// Ends the library's process for loading, which has nothing to load without a window.
fn end_loader() -> io::Result<()> {
    for thread in fs::read_dir("/proc/self/task")? {
        let children = fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
        for child in children.split_ascii_whitespace() {
            let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
            if let (LOADER, Ok(child)) = (name.trim_end(), child.parse()) {
                kill(Pid::from_raw(child), Signal::SIGTERM)?;
            }
        }
    }
    Ok(())
}

fn give_back() -> io::Result<()> {
    // SAFETY: it returns free pages of the allocator's own, and locks what it looks at.
    #[allow(unsafe_code, reason = "a call without a wrapper")]
    unsafe {
        libc::malloc_trim(0);
    }
    for (start, length) in unchanged(BufReader::new(File::open("/proc/self/smaps")?))? {
        // SAFETY: the range is a mapping of a file that this process can not write through and has not changed a page of, so that whoever
        // reads it next, this function's own code too, finds what was there. Should it be unmapped meanwhile, as nothing here does with a
        // library, the call fails.
        #[allow(unsafe_code, reason = "it takes an address")]
        let given = unsafe { madvise(start, length, MmapAdvise::MADV_DONTNEED) };
        if let Err(error) = given {
            tracing::debug!(%error, "a mapping was kept");
        }
    }
    Ok(())
}

/// The mappings of files, as address and bytes, which can only be read and of which no page differs from its file. A library's tables, which the linker
/// filled in before it made them read-only, do differ, and are not among them.
///
/// The format is that of `proc_pid_smaps(5)`: a line with range, rights, offset, device, inode and path, and below it lines of a name, a colon and a value.
fn unchanged(smaps: impl BufRead) -> io::Result<Vec<(NonNull<c_void>, usize)>> {
    let mut found = Vec::new();
    let mut mapping = None;
    for line in smaps.lines() {
        let line = line?;
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some("Anonymous:"), Some("0")) => found.extend(mapping.take()),
            (Some(name), _) if name.ends_with(':') => {}
            (Some(range), Some("r-xp" | "r--p")) => {
                let is_file = words.nth(3).is_some_and(|path| path.starts_with('/'));
                mapping = if is_file { addresses(range) } else { None };
            }
            _ => mapping = None,
        }
    }
    Ok(found)
}

/// Start and length of `start-end` in hexadecimal digits.
fn addresses(range: &str) -> Option<(NonNull<c_void>, usize)> {
    let (start, end) = range.split_once('-')?;
    let [start, end] = [start, end].map(|digits| usize::from_str_radix(digits, 16).ok());
    let (start, end) = (NonZeroUsize::new(start?)?, end?);
    Some((NonNull::without_provenance(start), end.checked_sub(start.get())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_in_its_file_is_given_back() {
        let smaps = "\
            10000-13000 r-xp 00000000 fe:00 12 /usr/lib/a library.so\nSize: 12 kB\nAnonymous: 0 kB\n\
            13000-14000 r--p 00003000 fe:00 12 /usr/lib/a library.so\nAnonymous:             4 kB\n\
            14000-15000 rw-p 00004000 fe:00 12 /usr/lib/a library.so\nAnonymous: 0 kB\n\
            15000-16000 r--s 00000000 fe:00 13 /usr/share/cache\nAnonymous: 0 kB\n\
            16000-17000 r-xp 00000000 00:00 0 [vdso]\nAnonymous: 0 kB\n\
            17000-18000 r--p 00000000 00:00 0\nAnonymous: 0 kB\n\
            18000-1a000 r--p 00000000 fe:00 14 /usr/lib/b.so (deleted)\nAnonymous: 0 kB\n";
        let found: Vec<_> = unchanged(smaps.as_bytes())
            .unwrap()
            .into_iter()
            .map(|(start, length)| (start.addr().get(), length))
            .collect();
        assert_eq!(found, [(0x10000, 0x3000), (0x18000, 0x2000)]);
    }

    #[test]
    fn this_program_goes_on_and_holds_less() {
        let resident = || {
            let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
            let of = |name: &str| -> u64 {
                let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                line.trim().trim_end_matches(" kB").parse().unwrap()
            };
            of("Rss:") - of("Anonymous:")
        };
        let before = resident();
        give_back().unwrap();
        let after = resident();
        assert!(after < before, "{after} of {before} KiB");
    }
}
