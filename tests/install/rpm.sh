#!/bin/bash
# The package for systems with rpm, by rpm itself. Here that is a guest on a Debian and knows nothing of its libraries, so it is told not to ask for any.
# Called with the package's file.
. "$(dirname "$0")/common.sh"

package=$1
add_person
rpm --initdb
before=$(files)

step "installed: permissions, owners, what it ships"
rpm --install --nodeps "$package"
refused runtimes
refused person systemctl --user is-enabled --quiet mhnos-runtime.service
rpm --verify --nodeps mhnos-runtime
[ -z "$(find $(rpm --query --list mhnos-runtime) \( ! -user root -o ! -group root -o -perm /022 -o -perm /6000 \) -print)" ]
[ "$(stat --format=%a /usr/bin/mhnos-runtime)" = 755 ]
test -s /usr/share/man/man1/mhnos-runtime-serve.1.gz

step "a page that asks starts it, and a program runs"
person systemctl --user daemon-reload
person systemctl --user enable --quiet --now mhnos-runtime.socket
refused runtimes
contains "$(answers 127.0.0.1)" '"status":"ok"'
contains "$(person mhnos-runtime health)" "strict (Landlock ABI"
person tee mhnos-workspace/hello.js <<<'console.log("hello from", process.version)' >/dev/null
contains "$(person mhnos-runtime spawn node hello.js)" "hello from v"
person mhnos-runtime origins allow http://localhost:8000 >/dev/null

step "an upgrade while it runs goes on with the new program"
earlier=$(person systemctl --user show --property=MainPID --value mhnos-runtime.service)
rpm --upgrade --replacepkgs --nodeps "$package"
soon person mhnos-runtime health
[ "$(person systemctl --user show --property=MainPID --value mhnos-runtime.service)" != "$earlier" ]
contains "$(person mhnos-runtime origins list)" http://localhost:8000

step "removed while a page's program runs: nothing runs, nothing listens, nothing starts it again"
person systemctl --user enable --quiet mhnos-runtime.service
person mkdir --parents .config/autostart
person touch .config/autostart/org.mhnos.runtime.desktop
person mhnos-runtime spawn node --detach -- -e 'setInterval(() => {}, 1000)' >/dev/null
programs >/dev/null
rpm --erase mhnos-runtime
refused runtimes
refused programs
refused listens
refused answers 127.0.0.1 2>/dev/null
nothing_left "$before" "$(files)" "/var/lib/rpm/|$state/"
test -s "$state/trust.sqlite"
test -s "$home/mhnos-workspace/hello.js"

userdel --force --remove "$user" 2>/dev/null || true
