//! What the operating system says of processes and sockets.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Whether a process runs: is there and has not merely not been reaped yet.
pub fn is_alive(os_pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{os_pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ").map(|(_, fields)| !fields.starts_with(['Z', 'X'])))
        .unwrap_or(false)
}

/// Sends a signal to one process.
///
/// # Panics
/// When it is gone.
pub fn signal(os_pid: i32, signal: Signal) {
    kill(Pid::from_raw(os_pid), signal).expect("the process is there");
}

/// The parent of a process.
pub fn parent(os_pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{os_pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// All processes there are.
pub fn all() -> Vec<i32> {
    fs::read_dir("/proc")
        .expect("/proc can be read")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The processes that a process started, and those that they started. Those of a guard stay below it whatever they do.
pub fn descendants(os_pid: i32) -> Vec<i32> {
    let pairs: Vec<_> = all().into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![os_pid];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(pairs.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.remove(0);
    found
}

/// The local addresses, as the kernel writes them (hexadecimal), of the TCP sockets a process listens on.
pub fn listening_addresses(os_pid: i32) -> Vec<String> {
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{os_pid}/fd"))
        .expect("the process is ours")
        .flatten()
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let mut addresses = Vec::new();
    for table in ["tcp", "tcp6"] {
        let table = fs::read_to_string(format!("/proc/{os_pid}/net/{table}")).unwrap_or_default();
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields[3] == "0A" && sockets.iter().any(|inode| inode == fields[9]) {
                addresses.push(fields[1].to_owned());
            }
        }
    }
    addresses
}

/// Bytes a process holds resident.
pub fn resident(os_pid: i32) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{os_pid}/statm")).unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
