//! One system call that no rule on files covers: setting another process's limits.
//!
//! `prlimit` with another's number needs no more than the same user, and a limit on processor time of nothing kills: it would do to the
//! runtime, or a guard, what scoped signals are there to prevent. A seccomp filter refuses it: limits are set of oneself (number 0), and
//! others' may be read. Everything else passes. The kernel knows for each number that it always passes, and so does not run the
//! filter for it.

use std::io;

use nix::libc::{
    self, BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, EPERM, SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO, sock_filter, sock_fprog,
};

/// The numbers of `prlimit64`, by the kernel's names for the ways into it (`AUDIT_ARCH_…`): those of this machine's own programs, and
/// of older ones it runs as well. A machine of another kind has to be added here first.
#[cfg(target_arch = "x86_64")]
const WAYS: [(u32, u32); 3] = [(0xc000_003e, 302), (0xc000_003e, 0x4000_0000 | 302), (0x4000_0003, 340)];
#[cfg(target_arch = "aarch64")]
const WAYS: [(u32, u32); 2] = [(0xc000_00b7, 261), (0x4000_0028, 369)];

// Where `struct seccomp_data` has what is looked at; its words are little-endian on the machines above.
const NUMBER: u32 = 0;
const WAY: u32 = 4;
const PROCESS: u32 = 16;
const NEW_LIMITS: [u32; 2] = [32, 36];

const fn load(offset: u32) -> sock_filter {
    sock_filter { code: (BPF_LD | BPF_W | BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

/// Goes on where the word is this; else passes over so many.
const fn unless_equal(word: u32, pass_over: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | BPF_JEQ | BPF_K) as u16, jt: 0, jf: pass_over, k: word }
}

const fn answer(answer: u32) -> sock_filter {
    sock_filter { code: (BPF_RET | BPF_K) as u16, jt: 0, jf: 0, k: answer }
}

/// Refuses the call for this process and all it will ever start. `no_new_privs` has to be set.
pub(super) fn refuse_limits_of_others() -> io::Result<()> {
    let mut filter = Vec::new();
    for (way, number) in WAYS {
        filter.extend([
            load(WAY),
            unless_equal(way, 11),
            load(NUMBER),
            unless_equal(number, 9),
            load(PROCESS),
            unless_equal(0, 1),
            answer(SECCOMP_RET_ALLOW),
            // Nothing is set where both halves of the pointer are zero: that is the way to read.
            load(NEW_LIMITS[0]),
            unless_equal(0, 3),
            load(NEW_LIMITS[1]),
            unless_equal(0, 1),
            answer(SECCOMP_RET_ALLOW),
            answer(SECCOMP_RET_ERRNO | EPERM as u32),
        ]);
    }
    filter.push(answer(SECCOMP_RET_ALLOW));
    let program = sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which lives until the call returns.
    #[allow(unsafe_code, reason = "a system call without a wrapper")]
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
