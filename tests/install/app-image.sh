#!/bin/bash
# The AppImage on a system that has what every desktop has, and neither GTK nor WebKit: started where it lies, used, ended. Called with the file.
. "$(dirname "$0")/common.sh"

image=$1
add_person
session=(DISPLAY=:99 NO_AT_BRIDGE=1 DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$number/bus")

apt update
# A screen that nobody sees, node, and what the image leaves to the system: graphics drivers, fonts, sound.
apt install xvfb xauth nodejs libegl1 libgl1 libgles2 libgbm1 libx11-xcb1 libwayland-client0 libwayland-cursor0 libwayland-egl1 libwayland-server0 \
    libfontconfig1 libfreetype6 libharfbuzz0b libfribidi0 libasound2
for package in libgtk-3-0 libwebkit2gtk-4.1-0; do refused dpkg-query --status $package 2>/dev/null >&2; done
Xvfb :99 -screen 0 1280x800x24 >/dev/null 2>&1 &
screen=$!

step "started, without a copy of itself on the system"
# There is nothing here to mount it with.
began=$(date +%s%N)
person env APPIMAGE_EXTRACT_AND_RUN=1 "$image" >/tmp/app.log 2>&1 &
patience=600 soon answers 127.0.0.1
printf 'the runtime answered %s ms after the start of the image\n' "$((($(date +%s%N) - began) / 1000000))"
runtime=$(readlink "/proc/$(runtimes | head -1)/exe")
contains "$runtime" /tmp/appimage_extracted_
contains "$(person "$runtime" health)" "strict (Landlock ABI"

step "its window has its page, by the WebKit that is in it"
soon pgrep --full lib/x86_64-linux-gnu/webkit2gtk-4.1/WebKitNetworkProcess
soon pgrep --full lib/x86_64-linux-gnu/webkit2gtk-4.1/WebKitWebProcess

step "programs run, and find nothing of the image's in their environment"
person tee mhnos-workspace/hello.js <<<'console.log("hello from", process.version, Object.keys(process.env).join(" "))' >/dev/null
said=$(person "$runtime" spawn node hello.js)
contains "$said" "hello from v"
for name in APPDIR APPIMAGE LD_LIBRARY_PATH GSETTINGS_SCHEMA_DIR; do [[ $said != *$name* ]]; done

step "ended: nothing runs, and of its content nothing is left"
person pkill --uid "$number" --exact mhnos-desktop
soon refused runtimes
soon refused test -e "${runtime%/usr/bin/mhnos-runtime}"
kill "$screen"
