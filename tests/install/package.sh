#!/bin/bash
# The Debian package, as a person meets it: installed on a system that never had it, used, upgraded, removed.
# Called with the package's file.
. "$(dirname "$0")/common.sh"

package=$1
user=ada
useradd --create-home --shell /bin/bash "$user"
number=$(id --user "$user")
home=/home/$user
state=$home/.local/state/mhnos
loginctl enable-linger "$user"
soon systemctl is-active "user@$number.service"
soon test -S "/run/user/$number/bus"

person() { runuser --user "$user" -- env -C "$home" HOME="$home" XDG_RUNTIME_DIR="/run/user/$number" "$@"; }
install_package() { apt-get install --quiet=2 --yes --no-install-recommends --reinstall "$1" >/tmp/apt.log 2>&1 || { cat /tmp/apt.log; return 1; }; }

before=$(files)

step "an older build is installed, and used"
dpkg-deb --raw-extract "$package" /tmp/older
sed --in-place 's/^Version: .*/Version: 0.0.1/' /tmp/older/DEBIAN/control
dpkg-deb --root-owner-group --build /tmp/older /tmp/older.deb >/dev/null
install_package /tmp/older.deb
refused runtimes
refused person systemctl --user is-enabled --quiet mhnos-runtime.service
person mhnos-runtime serve >/tmp/serve.log 2>&1 &
soon person mhnos-runtime health
contains "$(person mhnos-runtime health)" "strict (Landlock ABI"
contains "$(answers 127.0.0.1)" '"status":"ok"'
contains "$(answers '[::1]')" '"status":"ok"'
person tee mhnos-workspace/hello.js <<<'console.log("hello from", process.version)' >/dev/null
contains "$(person mhnos-runtime spawn node hello.js)" "hello from v"
refused person mhnos-runtime spawn shell -- -c "cat $state/token" >/dev/null
person mhnos-runtime origins allow http://localhost:8000 >/dev/null
person tee "$state/settings.json" <<<'{"maxProcesses": 7}' >/dev/null
kept() { (cd "$state" && sha256sum token settings.json trust.sqlite; find . -name '*.sqlite' | sort); }
person pkill --uid "$number" --exact --oldest mhnos-runtime
wait
held=$(kept)

step "the upgrade keeps settings, grants and what is known of the disks"
install_package "$package"
[ "$(kept)" = "$held" ]
[ "$(dpkg-query --show --showformat='${Version}' mhnos-runtime)" != 0.0.1 ]

step "a page that asks starts it, by the socket of the person's systemd"
person systemctl --user enable --quiet --now mhnos-runtime.socket
refused runtimes
contains "$(answers 127.0.0.1)" '"status":"ok"'
contains "$(answers '[::1]')" '"status":"ok"'
person systemctl --user is-active --quiet mhnos-runtime.service
contains "$(person mhnos-runtime origins list)" http://localhost:8000
contains "$(person mhnos-runtime health)" "at most 7 programs"
contains "$(person mhnos-runtime spawn node hello.js)" "hello from v"

step "an upgrade while it runs goes on with the new program"
earlier=$(person systemctl --user show --property=MainPID --value mhnos-runtime.service)
install_package "$package"
soon person mhnos-runtime health
[ "$(person systemctl --user show --property=MainPID --value mhnos-runtime.service)" != "$earlier" ]
contains "$(person mhnos-runtime origins list)" http://localhost:8000

step "what it ships: permissions, owners, manual pages, completions"
[ -z "$(find $(dpkg --listfiles mhnos-runtime | grep mhnos) \( ! -user root -o ! -group root -o -perm /022 -o -perm /6000 \) -print)" ]
[ "$(stat --format=%a /usr/bin/mhnos-runtime)" = 755 ]
dpkg --verify mhnos-runtime
bash -c '. /usr/share/bash-completion/completions/mhnos-runtime && complete -p mhnos-runtime' >/dev/null
test -s /usr/share/man/man1/mhnos-runtime-serve.1.gz

step "removed while a page's program runs: nothing runs, nothing listens, nothing starts it again"
person systemctl --user enable --quiet mhnos-runtime.service
person mhnos-runtime spawn node --detach -- -e 'setInterval(() => {}, 1000)' >/dev/null
programs >/dev/null
apt-get remove --quiet=2 --yes mhnos-runtime >/tmp/apt.log 2>&1
refused runtimes
refused programs
refused listens
refused answers 127.0.0.1 2>/dev/null
[ -z "$(find / -xdev -path /proc -prune -o -path '*systemd*' -name 'mhnos-runtime*' -print)" ]
test -s "$state/trust.sqlite"

step "purged: no file but the workspace"
apt-get purge --quiet=2 --yes mhnos-runtime >/tmp/apt.log 2>&1
left=$(comm -13 <(echo "$before") <(files) | grep --invert-match "^$home/mhnos-workspace/" || true)
[ -z "$left" ] || { printf 'left:\n%s\n' "$left"; false; }
test -s "$home/mhnos-workspace/hello.js"
[ ! -e "$state" ]

userdel --force --remove "$user" 2>/dev/null || true
