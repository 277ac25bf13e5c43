#!/bin/sh
# Before the files of the package go. An upgrade does not stop the node; it is restarted once, afterwards.
set -e

[ "$1" = remove ] || exit 0
[ -d /run/systemd/system ] || exit 0
systemctl disable --now syllecta.service
