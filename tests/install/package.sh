#!/bin/bash
# The Debian package, as a person meets it: installed on a system that never had it, used, upgraded, removed.
# Called with the package's file.
. "$(dirname "$0")/common.sh"

package=$1
add_person
before=$(files)

step "an older build is installed, and used"
make_older "$package"
apt install --reinstall /tmp/older.deb
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
person pkill --uid "$number" --exact --oldest mhnos-runtime
wait
held=$(kept token settings.json trust.sqlite)

step "the upgrade keeps settings, grants and what is known of the disks"
apt install --reinstall "$package"
[ "$(kept token settings.json trust.sqlite)" = "$held" ]
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
apt install --reinstall "$package"
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
apt remove mhnos-runtime
refused runtimes
refused programs
refused listens
refused answers 127.0.0.1 2>/dev/null
[ -z "$(find / -xdev -path /proc -prune -o -path '*systemd*' -name 'mhnos-runtime*' -print)" ]
test -s "$state/trust.sqlite"

step "purged: no file but the workspace"
apt purge mhnos-runtime
nothing_left "$before" "$(files)"
test -s "$home/mhnos-workspace/hello.js"
[ ! -e "$state" ]

userdel --force --remove "$user" 2>/dev/null || true
