#!/bin/bash
# install.sh under a real systemd: install, health, upgrade, one that fails, uninstall. Called with the unpacked archive's folder.
. "$(dirname "$0")/common.sh"

cd "$1"
service=mhnos-runtime.service
home=/var/lib/mhnos
as_mhnos() { sudo --user mhnos mhnos-runtime "$@"; }
before=$(files)

step "before: not installed"
contains "$(./install.sh status || true)" "not installed"
refused ./install.sh upgrade 2>/dev/null
refused ./install.sh 2>/dev/null >&2

step "install, and it is healthy and closed in"
contains "$(./install.sh install)" "Installed"
contains "$(./install.sh status)" "enabled, active"
contains "$(answers 127.0.0.1)" '"status":"ok"'
contains "$(answers '[::1]')" '"status":"ok"'
contains "$(as_mhnos health)" "strict (Landlock ABI"
systemd-analyze security --no-pager --threshold=30 "$service" | tail -1
refused ./install.sh install 2>/dev/null

step "programs run, and get to nothing but what they may"
contains "$(as_mhnos spawn node -- -e 'console.log([..."jit"].map((c) => c.toUpperCase()).join(""), process.getuid())')" "JIT $(id --user mhnos)"
contains "$(as_mhnos spawn shell -- -c 'echo kept > file; cat file; tty')" "/dev/pts/"
[ "$(cat $home/mhnos-workspace/file)" = kept ]
for attempt in "cat $home/.local/state/mhnos/token" "echo x > $home/x" "echo x > /etc/x" "ls /root" "mount -t tmpfs x /mnt"; do
    refused as_mhnos spawn shell -- -c "$attempt" >/dev/null
done
[ ! -e $home/x ] && [ ! -e /etc/x ]

step "an upgrade keeps settings, grants and files"
as_mhnos origins allow http://localhost:8000 >/dev/null
echo MHNOS_MAX_PROCESSES=7 >/etc/default/mhnos-runtime
earlier=$(systemctl show --property=MainPID --value $service)
contains "$(./install.sh upgrade)" "Upgraded"
[ "$(systemctl show --property=MainPID --value $service)" != "$earlier" ]
contains "$(as_mhnos origins list)" http://localhost:8000
contains "$(as_mhnos health)" "at most 7 programs"

step "an upgrade to what does not start goes back"
cat >/tmp/broken <<'BROKEN'
#!/bin/sh
[ "$1" = serve ] && exit 1
exit 0
BROKEN
chmod +x /tmp/broken
contains "$(MHNOS_RUNTIME_PROGRAM=/tmp/broken ./install.sh upgrade 2>&1 || true)" "runs again"
contains "$(as_mhnos origins list)" http://localhost:8000
refused cmp --quiet /tmp/broken /usr/local/bin/mhnos-runtime

step "uninstall leaves the workspace, and nothing else"
as_mhnos spawn node --detach -- -e 'setInterval(() => {}, 1000)' >/dev/null
programs >/dev/null
contains "$(./install.sh uninstall)" "Your files are still in $home/mhnos-workspace"
refused runtimes
refused programs
refused listens
refused getent passwd mhnos
refused systemctl cat $service 2>/dev/null
nothing_left "$before" "$(files)"
[ "$(stat --format=%U $home/mhnos-workspace/file)" = root ]

step "and it can be had again, with the files that were kept"
./install.sh install >/dev/null
contains "$(as_mhnos spawn shell -- -c 'cat file && echo more >> file')" kept
./install.sh uninstall >/dev/null
contains "$(cat $home/mhnos-workspace/file)" more
