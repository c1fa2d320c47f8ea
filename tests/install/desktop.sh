#!/bin/bash
# The desktop app's package on a system that has nothing of it: installed with all it needs, started, upgraded, removed.
# Called with the package's file.
. "$(dirname "$0")/common.sh"

package=$1
add_person
# A screen that nobody sees, and the bus of their systemd.
session=(DISPLAY=:99 NO_AT_BRIDGE=1 DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$number/bus")
apps() { pgrep --exact mhnos-desktop; }

apt update
apt install xvfb xauth
Xvfb :99 -screen 0 1280x800x24 >/dev/null 2>&1 &
screen=$!
# The shared data that graphical programs of the system keep is not the app's.
kept_out() { files | grep --invert-match --extended-regexp "^/(usr|etc|var)/"; }
before=$(kept_out)

step "an older build is installed, with all it needs, and started"
refused command -v mhnos-runtime
make_older "$package"
asked=$(date +%s%N)
apt install /tmp/older.deb nodejs
refused apps
start() {
    person mhnos-desktop >/tmp/app.log 2>&1 &
    began=$(date +%s%N)
    soon person mhnos-runtime health
    printf 'the runtime answered %s ms after the start of the app\n' "$((($(date +%s%N) - began) / 1000000))"
}
start
person tee mhnos-workspace/hello.js <<<'console.log("hello from", process.version)' >/dev/null
contains "$(person mhnos-runtime spawn node hello.js)" "hello from v"
waited=$((($(date +%s%N) - asked) / 1000000))
printf 'from the package and no node to the output of a node script: %s ms, downloads not counted\n' "$waited"
[ "$waited" -lt 180000 ]
contains "$(person mhnos-runtime health)" "strict (Landlock ABI"
contains "$(answers 127.0.0.1)" '"status":"ok"'
contains "$(curl --silent http://localhost:18790/)" "<title>MHNOS Runtime</title>"
person mhnos-runtime origins allow http://localhost:8000 >/dev/null

step "it ends with the app, and an upgrade keeps what was decided"
person pkill --uid "$number" --exact mhnos-desktop
gone() { ! apps && ! runtimes; }
soon gone
held=$(kept token trust.sqlite)
apt install "$package"
[ "$(kept token trust.sqlite)" = "$held" ]
[ "$(dpkg-query --show --showformat='${Version}' mhnos-desktop)" != 0.0.1 ]
start
contains "$(person mhnos-runtime origins list)" http://localhost:8000

step "links of the form mhnos:// are its own, and its manual is there"
test -s /usr/share/man/man1/mhnos-desktop.1.gz
contains "$(cat /usr/share/applications/org.mhnos.runtime.desktop)" "x-scheme-handler/mhnos"
test -s /usr/share/icons/hicolor/128x128/apps/mhnos-desktop.png
dpkg --verify mhnos-desktop

step "removed while it runs: nothing runs, nothing listens, nothing starts it again"
person mkdir -p .config/autostart
person tee .config/autostart/org.mhnos.runtime.desktop <<<'[Desktop Entry]' >/dev/null
apt remove mhnos-desktop
refused apps
refused runtimes
refused listens
[ ! -e "$home/.config/autostart/org.mhnos.runtime.desktop" ]
test -s "$state/trust.sqlite"

step "purged: no file but the workspace"
apt purge mhnos-desktop
# What graphical libraries keep in every home is not the app's either.
cached="^$home/\.(cache|config|local/share)/(mesa_shader_cache|fontconfig|dconf|gstreamer)"
nothing_left "$before" "$(kept_out)" "$cached"
test -s "$home/mhnos-workspace/hello.js"
[ ! -e "$state" ]
kill "$screen"
