#!/bin/bash
# Runs commands as a person would, who may use sudo and has a systemd of their own. Called with the file of commands, in whose folder is what the
# person downloaded.
. "$(dirname "$0")/common.sh"

commands=$1
user=ada
useradd --create-home --shell /bin/bash "$user"
number=$(id --user "$user")
# There is nobody to answer, and no network to fetch from what packages only recommend.
echo "$user ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/person
printf 'APT::Get::Assume-Yes "true";\nAPT::Install-Recommends "false";\n' >/etc/apt/apt.conf.d/90person
loginctl enable-linger "$user"
soon test -S "/run/user/$number/bus"

folder=$(dirname "$commands")
[ ! -d "$folder/archive" ] || folder=$folder/archive
runuser --user "$user" -- env -C "$folder" HOME="/home/$user" XDG_RUNTIME_DIR="/run/user/$number" bash -eu "$commands"
