#!/bin/bash
# Runs commands as a person would, who may use sudo and has a systemd of their own. Called with the file of commands, in whose folder is what the
# person downloaded.
. "$(dirname "$0")/common.sh"

commands=$1
add_person
# There is nobody to answer, and no network to fetch from what packages only recommend.
echo "$user ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/person
printf 'APT::Get::Assume-Yes "true";\nAPT::Install-Recommends "false";\n' >/etc/apt/apt.conf.d/90person

folder=$(dirname "$commands")
[ ! -d "$folder/archive" ] || folder=$folder/archive
person env -C "$folder" bash -eu "$commands"
