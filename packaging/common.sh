# What the scripts of dpkg and rpm share. Nothing in it fails: a package that cannot be removed helps nobody.

# Processes that run the app or the runtime, or an earlier one that was replaced while they ran.
running() {
    for process in /proc/[0-9]*; do
        for program in /usr/bin/mhnos-desktop /usr/bin/mhnos-runtime; do
            if [ "$process/exe" -ef "$program" ] || [ "$(readlink "$process/exe" 2>/dev/null)" = "$program (deleted)" ]; then
                echo "${process#/proc/}"
            fi
        done
    done
}

# Has every person's systemd that is there do this.
services() {
    [ -d /run/systemd/system ] || return 0
    systemctl list-units --plain --no-legend --state=active 'user@*.service' 2>/dev/null | while read -r unit _; do
        number=${unit#user@}
        systemctl --user --machine="${number%.service}@" "$@" </dev/null >/dev/null 2>&1 || true
    done
}

# Ends every app and runtime, and what they started with them.
end_all() {
    services stop mhnos-runtime.socket mhnos-runtime.service
    signal=TERM
    seconds=0
    # A runtime gives its programs some seconds, which it may need all of.
    while left=$(running) && [ -n "$left" ] && [ "$seconds" -lt 30 ]; do
        # shellcheck disable=SC2086 # one word for each process
        kill -s "$signal" $left 2>/dev/null || true
        sleep 1
        seconds=$((seconds + 1))
        [ "$seconds" -lt 20 ] || signal=KILL
    done
}

# Removes this from people's homes, each in its owner's name: a link in a home must not lead root astray.
in_homes() {
    getent passwd | while IFS=: read -r user _ number _ _ home _; do
        if [ "$number" -eq 0 ] || [ "$number" -ge 1000 ]; then
            if [ -d "$home" ] && [ "$home" != / ]; then
                (cd "$home" && runuser -u "$user" -- rm -rf -- "$@" 2>/dev/null) || true
            fi
        fi
    done
}

# Takes out of people's homes what starts the runtime.
forget_starts() {
    in_homes .config/autostart/org.mhnos.runtime.desktop \
        .config/systemd/user/default.target.wants/mhnos-runtime.service \
        .config/systemd/user/sockets.target.wants/mhnos-runtime.socket
    services daemon-reload
}

# Services that run go on with the new program. Nobody's is switched on.
go_on() {
    services daemon-reload
    services try-restart mhnos-runtime.service
}
