//! What tells, without reading it, that a file was not touched since it was hashed.
//!
//! The device is not in it: what is mounted within the workspace is not synced, and a device's number may be another after a restart.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::stat::FileStat;

/// A file touched less than this before it was hashed may be written again within the same tick of the clock that stamps
/// files, with nothing to tell by: the kernel's ticks are 10 ms at most.
const YOUNG: Duration = Duration::from_millis(50);
/// The same where times are kept in seconds or two of them, as on FAT.
const YOUNG_WITH_COARSE_TIMES: Duration = Duration::from_secs(3);
/// Times that are whole multiples of this, in nanoseconds, come from a file system with coarse times, or now and then from another.
const COARSE: i64 = 10_000_000;

/// See the [module's description](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The file's number.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// When its content changed, in nanoseconds since 1970.
    pub mtime: i64,
    /// When anything of it changed, in nanoseconds since 1970; nobody can set it.
    pub ctime: i64,
    /// Permissions.
    pub mode: u32,
}

impl Fingerprint {
    /// Of what the system says.
    pub(super) fn of(stat: &FileStat) -> Self {
        let nanoseconds =
            |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            mtime: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            ctime: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
            mode: stat.st_mode & 0o7777,
        }
    }

    /// Whether its owner may execute it.
    pub(super) fn executable(&self) -> bool {
        self.mode & 0o100 != 0
    }

    /// Whether it is the same file with the same content under another name: renaming changes nothing but the ctime.
    pub(super) fn is_renamed(&self, before: &Self) -> bool {
        Self { ctime: before.ctime, ..*self } == *before
    }

    /// Whether a write after `now`, when it was taken, is sure to change it. A clock that was set back makes it unsure, and so
    /// costs time and nothing else.
    pub(crate) fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let is_coarse = self.mtime % COARSE == 0 || self.ctime % COARSE == 0;
        let young = if is_coarse { YOUNG_WITH_COARSE_TIMES } else { YOUNG };
        let sure = i64::try_from(now.saturating_sub(young).as_nanos()).unwrap_or(i64::MAX);
        self.mtime.max(self.ctime) < sure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mtime: i64, ctime: i64) -> Fingerprint {
        Fingerprint { inode: 1, size: 2, mtime, ctime, mode: 0o644 }
    }

    #[test]
    fn young_files_and_files_of_the_future_are_not_trusted() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let second = 1_000_000_000;
        assert!(at(5 * second, 996 * second).is_settled(now));
        assert!(at(5, 999 * second + 900_000_001).is_settled(now), "fine times");
        assert!(!at(5, 999 * second + 980_000_001).is_settled(now));
        assert!(!at(5 * second, 999 * second).is_settled(now), "touched in the second before");
        assert!(
            !at(999 * second, 5 * second).is_settled(now),
            "a file system whose ctime is the time of creation"
        );
        assert!(!at(5 * second, 2000 * second).is_settled(now), "the clock was set back");
        assert!(!at(0, 0).is_settled(UNIX_EPOCH), "a clock that knows nothing");
    }

    #[test]
    fn a_rename_is_told_from_an_edit() {
        assert!(at(1, 9).is_renamed(&at(1, 1)));
        assert!(!at(2, 9).is_renamed(&at(1, 1)));
        assert!(!Fingerprint { inode: 7, ..at(1, 1) }.is_renamed(&at(1, 1)));
    }
}
