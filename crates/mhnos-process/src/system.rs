//! What the operating system says about processes and sockets, read from `/proc` (Linux).
//!
//! Everything here is a look at something that changes while one looks: a process that is gone is simply not in the answer.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

/// All descendants of a process, parents before their children, without the process itself.
pub(crate) fn descendants(os_pid: i32) -> Vec<i32> {
    let mut found = children(os_pid);
    let mut next = 0;
    while next < found.len() {
        found.extend(children(found[next]));
        next += 1;
    }
    found
}

/// The children of every thread of a process.
pub(crate) fn children(os_pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{os_pid}/task")) else { return Vec::new() };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>())
        .collect()
}

/// Whether a process has another among its parents, their parents and so on. It does not descend from itself; one that is gone descends
/// from everything, as nothing good can be said of it.
pub fn descends_from(os_pid: u32, ancestor: u32) -> bool {
    let mut candidate = os_pid;
    // Deeper than any tree that is meant to be one.
    for _ in 0..1024 {
        let parent = i32::try_from(candidate).ok().and_then(stat_fields).and_then(|fields| {
            fields.split_whitespace().nth(1).and_then(|parent| parent.parse::<u32>().ok())
        });
        match parent {
            None => return true,
            Some(parent) if parent == ancestor => return true,
            Some(0 | 1) => return false,
            Some(parent) => candidate = parent,
        }
    }
    true
}

/// The name of a process, as `ps` shows it.
pub(crate) fn name(os_pid: i32) -> String {
    fs::read_to_string(format!("/proc/{os_pid}/comm"))
        .map(|name| name.trim_end().to_owned())
        .unwrap_or_default()
}

/// Whether a process has ended and only waits to be reaped.
pub(crate) fn is_zombie(os_pid: i32) -> bool {
    stat_fields(os_pid).is_some_and(|fields| fields.starts_with('Z'))
}

/// The fields of `/proc/<pid>/stat` behind the name, beginning with the state. The name may itself hold blanks and brackets.
fn stat_fields(os_pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{os_pid}/stat")).ok()?;
    stat.rsplit_once(") ").map(|(_, fields)| fields.to_owned())
}

/// What a process has used of cpu (clock ticks, its reaped children included) and holds of memory (bytes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) ticks: u64,
    /// Resident and its own.
    pub(crate) private: u64,
    /// Resident and of files or shared: programs of one tree mostly hold the same.
    pub(crate) shared: u64,
}

/// The usage of one process; `None` when it is gone.
pub(crate) fn usage(os_pid: i32) -> Option<Usage> {
    let fields = stat_fields(os_pid)?;
    let field = |index: usize| fields.split(' ').nth(index).and_then(|field| field.parse::<u64>().ok());
    // proc(5) counts from 1 with the pid; the state, field 3, is our field 0.
    let ticks = field(11)? + field(12)? + field(13)? + field(14)?;
    // `stat` has a resident size too, but recent kernels keep it only roughly there.
    let pages = fs::read_to_string(format!("/proc/{os_pid}/statm")).ok()?;
    let mut pages = pages.split(' ').skip(1).filter_map(|pages| pages.parse::<u64>().ok());
    let (resident, shared) = (pages.next()?, pages.next()?);
    Some(Usage {
        ticks,
        private: resident.saturating_sub(shared) * page_size(),
        shared: shared * page_size(),
    })
}

/// Clock ticks in a second.
pub(crate) fn ticks_per_second() -> u64 {
    sysconf(nix::unistd::SysconfVar::CLK_TCK).unwrap_or(100)
}

fn page_size() -> u64 {
    sysconf(nix::unistd::SysconfVar::PAGE_SIZE).unwrap_or(4096)
}

fn sysconf(variable: nix::unistd::SysconfVar) -> Option<u64> {
    nix::unistd::sysconf(variable).ok().flatten().and_then(|value| u64::try_from(value).ok())
}

/// Bytes this very process holds resident.
pub fn own_memory() -> u64 {
    usage(std::process::id() as i32).map_or(0, |usage| usage.private + usage.shared)
}

/// All listening TCP sockets of this network namespace: inode to port.
pub(crate) fn listening_sockets() -> HashMap<u64, u16> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().skip(1).filter_map(listening_socket).collect::<Vec<_>>())
        .collect()
}

/// Inode and port of one line of the socket table, if it listens.
fn listening_socket(line: &str) -> Option<(u64, u16)> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace();
    let local = fields.nth(1)?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
    Some((fields.nth(5)?.parse().ok()?, port))
}

/// The ports, ascending, of those `sockets` that the processes hold open.
pub(crate) fn ports_of(os_pids: &[i32], sockets: &HashMap<u64, u16>) -> Vec<u16> {
    if sockets.is_empty() {
        return Vec::new();
    }
    let held: HashSet<u16> = os_pids
        .iter()
        .flat_map(|&pid| open_sockets(pid))
        .filter_map(|inode| sockets.get(&inode).copied())
        .collect();
    let mut ports: Vec<u16> = held.into_iter().collect();
    ports.sort_unstable();
    ports
}

/// The inodes of the sockets a process holds open.
fn open_sockets(os_pid: i32) -> Vec<u64> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{os_pid}/fd")) else { return Vec::new() };
    descriptors
        .flatten()
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .filter_map(|target| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect()
}

/// The program that listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortHolder {
    /// Its process id.
    pub os_pid: i32,
    /// Its name.
    pub name: String,
}

/// Who listens on a TCP port of this machine. `None` when nobody does, or when it is not ours to see.
pub fn port_holder(port: u16) -> Option<PortHolder> {
    let mut sockets = listening_sockets();
    sockets.retain(|_, &mut listening| listening == port);
    if sockets.is_empty() {
        return None;
    }
    fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| Path::new(&entry.file_name()).to_str()?.parse::<i32>().ok())
        .find(|&os_pid| open_sockets(os_pid).iter().any(|inode| sockets.contains_key(inode)))
        .map(|os_pid| PortHolder { os_pid, name: name(os_pid) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_a_descendant_until_it_ends() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let os_pid = child.id() as i32;
        // Threads of other tests come and go while the list is read, and a program that is just being loaded holds nothing.
        while !descendants(std::process::id() as i32).contains(&os_pid) {}
        while usage(os_pid).unwrap().shared == 0 {}
        assert!(!is_zombie(os_pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(usage(os_pid), None);
    }

    #[test]
    fn a_listening_port_has_a_holder() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let us = std::process::id() as i32;
        assert_eq!(port_holder(port).map(|holder| holder.os_pid), Some(us));
        assert!(ports_of(&[us], &listening_sockets()).contains(&port));
        drop(listener);
        assert!(!ports_of(&[us], &listening_sockets()).contains(&port));
    }
}
