# What the scripts of this folder use. They run as root inside a Debian that was booted for them and is thrown away after it.

set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive

# What fails, and what was printed by what went on beside it.
failed() {
    printf 'failed: %s, line %s: %s\n' "$@" >&2
    for log in /tmp/*.log; do
        [ ! -s "$log" ] || { printf '%s ends with:\n' "$log"; tail -n 20 "$log"; } >&2
    done
}
trap 'failed "${BASH_SOURCE[0]}" "$LINENO" "$BASH_COMMAND"' ERR

step() { printf '== %s: %s\n' "$(basename "$0" .sh)" "$*"; }

# Fails unless the text contains the words.
contains() {
    [[ $1 == *"$2"* ]] || {
        printf 'this should contain %q:\n%s\n' "$2" "$1" >&2
        return 1
    }
}

# Fails if the command succeeds.
refused() {
    if "$@"; then
        printf 'this should have failed: %s\n' "$*" >&2
        return 1
    fi
}

# Waits until the command succeeds, for no more than `patience` tenths of a second.
soon() {
    for _ in $(seq "${patience:-100}"); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    printf 'this did not come true in time: %s\n' "$*" >&2
    return 1
}

# The files that an installation could leave, and everything else that is kept from one boot to the next.
files() {
    find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /dev -o -path /tmp -o -path /var/tmp -o -path /var/cache -o -path /var/log \
        -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/lib/systemd -o -path /var/backups -o -path /etc/ld.so.cache \) -prune \
        -o \( -type f -o -type l -o -type s \) -print | sort
}

runtimes() { pgrep --exact mhnos-runtime; }
# A program that a runtime was told to run: node, for ever.
programs() { pgrep --full 'setInterval.*, 1000'; }
listens() { [ -n "$(ss --listening --tcp --no-header "sport = :18790")" ]; }
answers() { curl --silent --show-error --fail --max-time 5 "http://$1:18790/health"; }

# Whoever installs and uses it.
user=ada home=/home/ada state=/home/ada/.local/state/mhnos
# What their programs find in the environment beside what everybody's do.
session=()

# Makes them, with a systemd of their own.
add_person() {
    useradd --create-home --shell /bin/bash "$user"
    number=$(id --user "$user")
    loginctl enable-linger "$user"
    soon systemctl is-active "user@$number.service"
    soon test -S "/run/user/$number/bus"
}
person() { runuser --user "$user" -- env -C "$home" HOME="$home" XDG_RUNTIME_DIR="/run/user/$number" "${session[@]}" "$@"; }

# apt-get as a person would use it, but silent, unless it fails.
apt() { apt-get --quiet=2 --yes --no-install-recommends "$@" >/tmp/apt.log 2>&1; }

# The same package as /tmp/older.deb, of a version before all others.
make_older() {
    dpkg-deb --raw-extract "$1" /tmp/older
    sed --in-place -e 's/^Version: .*/Version: 0.0.1/' -e 's/^Provides: .*/Provides: mhnos-runtime (= 0.0.1)/' /tmp/older/DEBIAN/control
    dpkg-deb --root-owner-group -Znone --build /tmp/older /tmp/older.deb >/dev/null
}

# What an upgrade has to keep: these files, and which disks are known.
kept() { (cd "$state" && sha256sum "$@" && find . -name '*.sqlite' | sort); }

# Fails, and lists them, if there are files that were not there before but those of the workspace and others of this pattern.
nothing_left() {
    local left
    left=$(comm -13 <(echo "$1") <(echo "$2") | grep --invert-match --extended-regexp "^$home/mhnos-workspace/${3:+|$3}" || true)
    [ -z "$left" ] || { printf 'left:\n%s\n' "$left" >&2; return 1; }
}
