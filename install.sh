#!/bin/sh
# Puts MHNOS Runtime on a server as a service of systemd, with a user of its own, and takes it away again.
#
#   ./install.sh install|upgrade|uninstall|status
#
# Takes the program from beside this file (the .tar.gz) or from target/release (a checkout), or from where MHNOS_RUNTIME_PROGRAM says.
#
# What it puts where:
#   /usr/local/bin/mhnos-runtime                     the program
#   /etc/systemd/system/mhnos-runtime.service        the service
#   /usr/local/share/{man,bash-completion,zsh,fish}  manual pages and completions
#   /var/lib/mhnos                                   home of the user mhnos: workspace, settings, grants
# /etc/default/mhnos-runtime is read if it is there: settings as MHNOS_RUNTIME_PORT=18800, one a line.

set -eu
umask 022

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
program=/usr/local/bin/mhnos-runtime
previous=/usr/local/bin/.mhnos-runtime.previous
share=/usr/local/share
unit=/etc/systemd/system/mhnos-runtime.service
settings=/etc/default/mhnos-runtime
home=/var/lib/mhnos
workspace=$home/mhnos-workspace
service=mhnos-runtime.service

say() { printf '%s\n' "$*"; }
fail() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

# The runtime's own command line, as the user it runs as.
as_mhnos() {
    (cd / && exec runuser -u mhnos -- env HOME="$home" "$program" "$@")
}

need_root_and_systemd() {
    [ "$(id -u)" = 0 ] || fail "this changes the system: run it as root, as in: sudo $0 $1"
    [ -d /run/systemd/system ] || fail "systemd does not run here: start the runtime yourself with mhnos-runtime serve"
}

new_program() {
    for candidate in "${MHNOS_RUNTIME_PROGRAM:-}" "$here/mhnos-runtime" "$here/target/release/mhnos-runtime"; do
        if [ -n "$candidate" ] && [ -x "$candidate" ]; then
            "$candidate" --version >/dev/null || fail "$candidate does not run on this machine: take the package for $(uname -m)"
            say "$candidate"
            return
        fi
    done
    fail "there is no mhnos-runtime beside this file and none in target/release: build it with cargo xtask package, or name it in MHNOS_RUNTIME_PROGRAM"
}

# Under its final name at once: a program that runs can be replaced so, and nobody ever finds half of one.
place() {
    mkdir -p "$(dirname -- "$2")"
    cp -- "$1" "$2.new"
    chmod "$3" "$2.new"
    chown root:root "$2.new"
    mv -f -- "$2.new" "$2"
}

place_everything() {
    place "$1" "$program" 755
    mkdir -p "$share/man/man1"
    "$program" manual "$share/man/man1"
    completions bash "$share/bash-completion/completions/mhnos-runtime"
    completions zsh "$share/zsh/site-functions/_mhnos-runtime"
    completions fish "$share/fish/vendor_completions.d/mhnos-runtime.fish"
    place "$here/packaging/systemd/system/$service" "$unit" 644
    systemctl daemon-reload
}

completions() {
    mkdir -p "$(dirname -- "$2")"
    "$program" completions "$1" >"$2"
}

make_user() {
    if ! getent passwd mhnos >/dev/null; then
        useradd --system --user-group --home-dir "$home" --no-create-home --shell /usr/sbin/nologin \
            --comment "MHNOS Runtime" mhnos
    fi
    mkdir -p "$home"
    chmod 700 "$home"
    # A workspace that an earlier uninstall has kept is the user's again.
    chown -R mhnos:mhnos "$home"
}

# systemd waits until the runtime says that it listens, so one question is enough.
start() {
    systemctl restart "$service" && as_mhnos health
}

why_not() {
    journalctl --no-pager --quiet --lines=20 --unit="$service" >&2 || true
}

install() {
    [ ! -e "$unit" ] || fail "it is installed already: use $0 upgrade"
    from=$(new_program)
    make_user
    place_everything "$from"
    systemctl --quiet enable "$service"
    if ! start; then
        why_not
        fail "the service does not start (its last words are above): mend that and run systemctl restart $service, or run $0 uninstall"
    fi
    say "Installed: $("$program" --version), with its files in $workspace."
    say "Let a page in:       sudo -u mhnos mhnos-runtime origins allow http://localhost:8000"
    say "From your computer:  ssh -N -L 18790:localhost:18790 $(hostname)"
}

upgrade() {
    [ -e "$unit" ] || fail "it is not installed: use $0 install"
    from=$(new_program)
    before=$("$program" --version)
    cp -p -- "$program" "$previous"
    cp -p -- "$unit" "$unit.previous"
    place_everything "$from"
    if start; then
        rm -f -- "$previous" "$unit.previous"
        say "Upgraded from $before to $("$program" --version). Settings, grants and files are as they were."
        return
    fi
    why_not
    mv -f -- "$previous" "$program"
    mv -f -- "$unit.previous" "$unit"
    systemctl daemon-reload
    if start; then
        fail "the new version does not start (its last words are above), so $before runs again"
    fi
    fail "the new version does not start, and neither does $before: see journalctl --unit=$service"
}

uninstall() {
    systemctl --quiet disable --now "$service" 2>/dev/null || true
    rm -f -- "$unit" "$unit.previous" "$program" "$previous" "$settings" "$share"/man/man1/mhnos-runtime.1 "$share"/man/man1/mhnos-runtime-*.1
    rm -rf -- "$unit.d"
    rm -f -- "$share/bash-completion/completions/mhnos-runtime" "$share/zsh/site-functions/_mhnos-runtime" \
        "$share/fish/vendor_completions.d/mhnos-runtime.fish"
    systemctl daemon-reload
    systemctl reset-failed "$service" 2>/dev/null || true
    if [ -d "$home" ]; then
        find "$home" -mindepth 1 -maxdepth 1 ! -path "$workspace" -exec rm -rf -- {} +
        rmdir -- "$workspace" "$home" 2>/dev/null || true
    fi
    if getent passwd mhnos >/dev/null; then
        userdel mhnos
    fi
    if [ -d "$workspace" ]; then
        # The number of a user that is gone is given to the next one made.
        chown -R root:root "$home"
        say "Removed. Your files are still in $workspace, and belong to root."
    else
        say "Removed."
    fi
}

status() {
    if [ ! -e "$unit" ]; then
        say "not installed"
        exit 3
    fi
    say "$("$program" --version), $(systemctl is-enabled "$service" 2>/dev/null || true), $(systemctl is-active "$service" || true)"
    [ "$(id -u)" = 0 ] || fail "run this as root to see more"
    as_mhnos health
}

case ${1:-} in
install | upgrade | uninstall)
    need_root_and_systemd "$1"
    "$1"
    ;;
status) status ;;
*)
    say "usage: $0 install|upgrade|uninstall|status"
    exit 2
    ;;
esac
