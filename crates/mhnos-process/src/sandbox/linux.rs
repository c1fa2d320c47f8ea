//! Landlock: rules on files that a process takes upon itself and all it will ever start.
//!
//! The rules are built by the runtime into a descriptor, sent to the guard with the launch, and entered in the guard's child
//! before `exec`. Each program gets a domain of its own, so that scoped signals reach neither the guard nor another program's
//! tree; looking into them (ptrace, `/proc/<pid>/mem`, `environ`, `fd`) is closed by the same.
//!
//! Who is root could load a kernel module or read a disk past its files, which no rule on files hinders. So the capabilities that
//! reach beyond files one owns are given up as well ([`KEPT_CAPABILITIES`]).
//!
//! What Landlock does not restrict, up to ABI 8: connecting to sockets that have a name in the file system, changing permissions,
//! owner and times of files one owns, and reading that a file is there and its size.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::os::unix::fs::OpenOptionsExt;

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope, make_bitflags,
};
use nix::libc;
use nix::sys::prctl;

use super::grants::{Grant, Right};
use super::{Mode, SandboxError, system_calls};

/// What the system was found to be able to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Landlock, of this ABI.
    Landlock(i32),
    /// The kernel has Landlock, but it was not switched on at boot.
    SwitchedOff,
    /// There is none, or something around this process forbids it.
    Missing,
}

/// Strict promises scoped signals and abstract sockets: Linux 6.12.
const STRICT_ABI: i32 = 6;

/// Below this, any file could be emptied (`truncate`), which would not be "writes as strict": Linux 6.2.
const RELAXED_ABI: i32 = 3;

/// The first ABI that restricts what may be asked of devices.
const DEVICE_ABI: i32 = 5;

/// The ABI these rules are written for and tested with. What a later one could restrict besides is left open.
const NEWEST: i32 = 6;

/// Asks the kernel.
pub fn probe() -> Support {
    const VERSION: u32 = 1;
    // SAFETY: with this flag the kernel reads no memory and answers with a number.
    #[allow(unsafe_code, reason = "a system call whose wrapper in the crate is private")]
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0usize, VERSION)
    };
    match (version, io::Error::last_os_error().raw_os_error()) {
        (1.., _) => Support::Landlock(i32::try_from(version).unwrap_or(i32::MAX)),
        (_, Some(libc::EOPNOTSUPP)) => Support::SwitchedOff,
        _ => Support::Missing,
    }
}

/// What is achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    /// As the kernel says it.
    abi: i32,
}

impl Level {
    fn rules(self) -> ABI {
        ABI::from(self.abi.min(NEWEST))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Landlock ABI {}", self.abi)?;
        match self.abi {
            STRICT_ABI.. => Ok(()),
            DEVICE_ABI => formatter.write_str(": signals and abstract sockets are not closed off"),
            _ => formatter.write_str(": device controls, signals and abstract sockets are not closed off"),
        }
    }
}

/// The level a mode gets on this system.
pub(super) fn level(mode: Mode, support: &Support) -> Result<Level, SandboxError> {
    let (least, kernel, less) = match mode {
        Mode::Strict => {
            (STRICT_ABI, "Linux 6.12", "choose less with --sandbox relaxed or --sandbox none (MHNOS_SANDBOX)")
        }
        Mode::Relaxed | Mode::None => {
            (RELAXED_ABI, "Linux 6.2", "choose to do without with --sandbox none (MHNOS_SANDBOX)")
        }
    };
    let (reason, remedy) = match support {
        Support::Landlock(abi) if *abi >= least => return Ok(Level { abi: *abi }),
        Support::Landlock(abi) => (
            format!("the kernel's Landlock has ABI {abi}, and it takes {least}"),
            format!("use {kernel} or newer"),
        ),
        Support::SwitchedOff => (
            "the kernel's Landlock was not switched on at boot".into(),
            "switch it on with the kernel parameter lsm=landlock,…".into(),
        ),
        Support::Missing => {
            ("the kernel has no Landlock, or a container forbids it".into(), format!("use {kernel} or newer"))
        }
    };
    Err(SandboxError::Unavailable { mode: mode.name(), reason, remedy: format!("{remedy}, or {less}") })
}

/// A descriptor of rules that allow this and nothing else. What is not there cannot be allowed, and is passed over.
pub(super) fn build(level: &Level, grants: &[Grant]) -> io::Result<OwnedFd> {
    let abi = level.rules();
    let failed = |error: &dyn std::error::Error| io::Error::other(error.to_string());
    let mut rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    rules = rules.handle_access(AccessFs::from_all(abi)).map_err(|error| failed(&error))?;
    let scopes = Scope::from_all(abi);
    if !scopes.is_empty() {
        rules = rules.scope(scopes).map_err(|error| failed(&error))?;
    }
    let mut rules = rules.create().map_err(|error| failed(&error))?;
    for grant in grants {
        let opened = File::options().read(true).custom_flags(libc::O_PATH).open(&grant.path);
        let file = match opened {
            Ok(file) => file,
            Err(_) if !grant.needed => continue,
            Err(error) => {
                return Err(io::Error::new(error.kind(), format!("{}: {error}", grant.path.display())));
            }
        };
        let mut access = access(grant.right) & AccessFs::from_all(abi);
        if !file.metadata()?.is_dir() {
            access &= AccessFs::from_file(abi);
        }
        if !access.is_empty() {
            rules = rules.add_rule(PathBeneath::new(file, access)).map_err(|error| failed(&error))?;
        }
    }
    Option::<OwnedFd>::from(rules).ok_or_else(|| io::Error::other("the kernel made no rules"))
}

fn access(right: Right) -> BitFlags<AccessFs> {
    let read = make_bitflags!(AccessFs::{ReadFile | ReadDir | Execute});
    // Not the making of devices: who is root would read the disk through one.
    let write = make_bitflags!(AccessFs::{
        WriteFile | Truncate | RemoveFile | RemoveDir | MakeReg | MakeDir | MakeSym | MakeSock | MakeFifo | Refer
    });
    match right {
        Right::Read => read,
        Right::List => AccessFs::ReadDir.into(),
        Right::Write => read | write,
        Right::Share => make_bitflags!(AccessFs::{
            ReadFile | ReadDir | WriteFile | Truncate | RemoveFile | MakeReg
        }),
        // Truncate, because `> /dev/null` opens it so.
        Right::Device => make_bitflags!(AccessFs::{ReadFile | ReadDir | WriteFile | Truncate | IoctlDev}),
    }
}

/// What root is left of its capabilities: files of any owner, as far as the rules allow them, and low ports. See capabilities(7) for
/// the numbers, which are the kernel's.
const KEPT_CAPABILITIES: u64 = {
    const CHOWN: u64 = 1 << 0;
    const DAC_OVERRIDE: u64 = 1 << 1;
    const FOWNER: u64 = 1 << 3;
    const FSETID: u64 = 1 << 4;
    const KILL: u64 = 1 << 5;
    const SETGID: u64 = 1 << 6;
    const SETUID: u64 = 1 << 7;
    const NET_BIND_SERVICE: u64 = 1 << 10;
    CHOWN | DAC_OVERRIDE | FOWNER | FSETID | KILL | SETGID | SETUID | NET_BIND_SERVICE
};

/// Takes the rules upon this process, for good. To be called between fork and exec.
pub(crate) fn enter(rules: RawFd) -> io::Result<()> {
    give_up_capabilities()?;
    prctl::set_no_new_privs()?;
    system_calls::refuse_limits_of_others()?;
    // SAFETY: the kernel is given a number.
    #[allow(unsafe_code, reason = "the crate enters only what it made in the same process")]
    let entered = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules, 0) };
    if entered == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What capget(2) and capset(2) take: the version of the form, and the process (0: this one).
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    process: i32,
}

/// Effective, permitted and inheritable capabilities: the lower 32, then the upper.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

fn give_up_capabilities() -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let mut header = CapabilityHeader { version: VERSION_3, process: 0 };
    let mut data = [CapabilityData::default(); 2];
    // SAFETY: the kernel writes two structures of this form for this version.
    #[allow(unsafe_code, reason = "a system call without a wrapper")]
    let got = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    if got != 0 {
        return Err(io::Error::last_os_error());
    }
    if data.iter().all(|part| part.permitted == 0) {
        // Not root: what could be gained by `exec` is ruled out by no_new_privs.
        return Ok(());
    }
    for capability in (0..64).filter(|number| KEPT_CAPABILITIES & (1 << number) == 0) {
        // Fails beyond the last there is, and for who may not do it.
        // SAFETY: the kernel is given numbers.
        #[allow(unsafe_code, reason = "a system call without a wrapper")]
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            break;
        }
    }
    for (part, kept) in data.iter_mut().zip([KEPT_CAPABILITIES as u32, (KEPT_CAPABILITIES >> 32) as u32]) {
        part.effective &= kept;
        part.permitted &= kept;
        part.inheritable = 0;
    }
    // SAFETY: the kernel reads two structures of this form for this version.
    #[allow(unsafe_code, reason = "a system call without a wrapper")]
    let set = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
