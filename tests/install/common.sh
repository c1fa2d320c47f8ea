# What both scripts of this folder use. They run as root inside a Debian that was booted for them and is thrown away after it.

set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive

trap 'printf "failed: %s, line %s: %s\n" "${BASH_SOURCE[0]}" "$LINENO" "$BASH_COMMAND" >&2' ERR

step() { printf '== %s\n' "$*"; }

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

# Waits until the command succeeds, for no more than ten seconds.
soon() {
    for _ in $(seq 100); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    printf 'this did not come true in ten seconds: %s\n' "$*" >&2
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
