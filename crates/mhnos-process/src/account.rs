//! What the system has recorded of this process' user: their home and their shell.
//!
//! A program with the C library inside it may not ask that library: where the user is recorded by a module of the system's (LDAP, systemd), it loads that
//! module together with the system's own C library, which crashes when the two differ. It reads the list of users itself, and knows none of a module.

use std::path::PathBuf;

pub(crate) struct Account {
    pub(crate) home: PathBuf,
    pub(crate) shell: PathBuf,
}

/// Nothing if no user of this number is known.
#[cfg(not(target_feature = "crt-static"))]
pub(crate) fn own() -> Option<Account> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten()?;
    Some(Account { home: user.dir, shell: user.shell })
}

/// Nothing if no user of this number is known.
#[cfg(target_feature = "crt-static")]
pub(crate) fn own() -> Option<Account> {
    find(&std::fs::read("/etc/passwd").ok()?, nix::unistd::geteuid().as_raw())
}

/// In lines of name, password, number, group, remark, home and shell, separated by colons.
#[cfg(any(test, target_feature = "crt-static"))]
fn find(list: &[u8], number: u32) -> Option<Account> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let number = number.to_string();
    list.split(|byte| *byte == b'\n').find_map(|line| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let [_, _, of, _, _, home, shell] = fields[..] else { return None };
        let path = |field| PathBuf::from(OsStr::from_bytes(field));
        (of == number.as_bytes()).then(|| Account { home: path(home), shell: path(shell) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_users_says_what_the_system_says() {
        let system = own().unwrap();
        let list = std::fs::read("/etc/passwd").unwrap();
        let own = find(&list, nix::unistd::geteuid().as_raw()).unwrap();
        assert_eq!((own.home, own.shell), (system.home, system.shell));
    }

    #[test]
    fn only_a_whole_line_of_this_very_number_counts() {
        let list =
            b"# users\nbob:x:10\nann:x:100:10:Ann:/home/ann:/bin/sh\neve:x:10:10::/home/eve:/bin/zsh\n";
        assert_eq!(find(list, 10).unwrap().home, PathBuf::from("/home/eve"));
        assert!(find(list, 1).is_none());
    }
}
