#!/bin/sh
# After the files of the package are in place. A first installation starts nothing: the node has no settings yet.
set -e

[ "$1" = configure ] || exit 0
previous=$2

systemd-sysusers syllecta.conf
# Keys and tokens lie here: for root to write, for the service to read.
chown root:syllecta /etc/syllecta
chmod 0750 /etc/syllecta

[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
[ -n "$previous" ] || exit 0
# An upgrade restarts a node that runs, and waits a while until it is ready again, so that upgrading one machine after
# the other is a rolling restart.
if ! timeout 120 systemctl try-restart syllecta.service; then
    echo 'syllecta: the node is not ready yet; see: systemctl status syllecta' >&2
fi
