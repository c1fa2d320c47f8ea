#!/bin/bash
# The desktop app's package on a system that has nothing of it: installed with all it needs, started, upgraded, removed.
# Called with the package's file.
. "$(dirname "$0")/common.sh"

package=$1
user=ada
useradd --create-home --shell /bin/bash "$user"
number=$(id --user "$user")
home=/home/$user
state=$home/.local/state/mhnos
loginctl enable-linger "$user"
soon test -S "/run/user/$number/bus"

# A session of the person's own: a screen that nobody sees, and the bus of their systemd.
person() {
    runuser --user "$user" -- env -C "$home" HOME="$home" DISPLAY=:99 NO_AT_BRIDGE=1 XDG_RUNTIME_DIR="/run/user/$number" \
        DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$number/bus" "$@"
}
install_package() { apt-get install --quiet=2 --yes --no-install-recommends --reinstall "$1" >/tmp/apt.log 2>&1 || { tail -20 /tmp/apt.log; return 1; }; }
apps() { pgrep --exact mhnos-desktop; }

apt-get update --quiet=2 >/dev/null
apt-get install --quiet=2 --yes --no-install-recommends xvfb xauth >/tmp/apt.log 2>&1
Xvfb :99 -screen 0 1280x800x24 >/dev/null 2>&1 &
screen=$!
# The shared data that graphical programs of the system keep is not the app's.
kept_out() { files | grep --invert-match --extended-regexp "^/(usr|etc|var)/"; }
before=$(kept_out)

step "an older build is installed, with all it needs, and started"
refused command -v mhnos-runtime
dpkg-deb --raw-extract "$package" /tmp/older
sed --in-place -e 's/^Version: .*/Version: 0.0.1/' -e 's/^Provides: .*/Provides: mhnos-runtime (= 0.0.1)/' /tmp/older/DEBIAN/control
dpkg-deb --root-owner-group --build /tmp/older /tmp/older.deb >/dev/null
install_package /tmp/older.deb
refused apps
start() {
    person mhnos-desktop >/tmp/app.log 2>&1 &
    began=$(date +%s%N)
    soon person mhnos-runtime health || { tail -20 /tmp/app.log; return 1; }
    printf 'the runtime answered %s ms after the start of the app\n' "$((($(date +%s%N) - began) / 1000000))"
}
start
contains "$(person mhnos-runtime health)" "strict (Landlock ABI"
contains "$(answers 127.0.0.1)" '"status":"ok"'
contains "$(curl --silent http://localhost:18790/)" "<title>MHNOS Runtime</title>"
person tee mhnos-workspace/hello.js <<<'console.log("hello from", process.version)' >/dev/null
contains "$(person mhnos-runtime spawn node hello.js)" "hello from v"
person mhnos-runtime origins allow http://localhost:8000 >/dev/null

step "it ends with the app, and an upgrade keeps what was decided"
person pkill --uid "$number" --exact mhnos-desktop
gone() { ! apps && ! runtimes; }
soon gone
kept() { (cd "$state" && sha256sum token trust.sqlite; find . -name '*.sqlite' | sort); }
held=$(kept)
install_package "$package"
[ "$(kept)" = "$held" ]
[ "$(dpkg-query --show --showformat='${Version}' mhnos-desktop)" != 0.0.1 ]
start
contains "$(person mhnos-runtime origins list)" http://localhost:8000

step "links of the form mhnos:// are its own"
contains "$(cat /usr/share/applications/org.mhnos.runtime.desktop)" "x-scheme-handler/mhnos"
test -s /usr/share/icons/hicolor/128x128/apps/mhnos-desktop.png
dpkg --verify mhnos-desktop

step "removed while it runs: nothing runs, nothing listens, nothing starts it again"
person mkdir -p .config/autostart
person tee .config/autostart/org.mhnos.runtime.desktop <<<'[Desktop Entry]' >/dev/null
apt-get remove --quiet=2 --yes mhnos-desktop >/tmp/apt.log 2>&1
refused apps
refused runtimes
refused listens
[ ! -e "$home/.config/autostart/org.mhnos.runtime.desktop" ]
test -s "$state/trust.sqlite"

step "purged: no file but the workspace"
apt-get purge --quiet=2 --yes mhnos-desktop >/tmp/apt.log 2>&1
# What graphical libraries keep in every home is not the app's either.
cached="^$home/\.(cache|config|local/share)/(mesa_shader_cache|fontconfig|dconf|gstreamer)"
left=$(comm -13 <(echo "$before") <(kept_out) | grep --invert-match --extended-regexp "^$home/mhnos-workspace/|$cached" || true)
[ -z "$left" ] || { printf 'left:\n%s\n' "$left"; false; }
test -s "$home/mhnos-workspace/hello.js"
[ ! -e "$state" ]
kill "$screen"
