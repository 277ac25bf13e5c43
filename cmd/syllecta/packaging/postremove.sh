#!/bin/sh
# After the files of the package are gone. The state in /var/lib/syllecta and what was put into /etc/syllecta stay, also
# when the package is purged: they are copies of the cluster's data and its keys, which nobody could bring back.
set -e

if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
