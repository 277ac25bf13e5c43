#!/bin/sh
# On the last machine, as root: welcome.sh URL…
#
# Waits for the cluster, makes a tenant with an API key, once, and tells how to go on. The URLs are those on the host.
set -eu

for _ in $(seq 600); do
    if [ "$(systemctl is-active syllecta)" = active ]; then
        ready=yes
        break
    fi
    sleep 0.3
done
if [ -z "${ready:-}" ]; then
    systemctl status --no-pager syllecta || true
    exit 1
fi

SYLLECTA_SERVER="https://$(hostname):4000"
SYLLECTA_CA_FILE=/etc/syllecta/ca.pem
SYLLECTA_ADMIN_TOKEN_FILE=/etc/syllecta/admin-token
export SYLLECTA_SERVER SYLLECTA_CA_FILE SYLLECTA_ADMIN_TOKEN_FILE
key=/etc/syllecta/demo-key
if ! syllecta tenant list --json | grep -q '"slug":"demo"'; then
    syllecta tenant create demo >/dev/null
fi
if [ ! -s $key ]; then
    (umask 077 && syllecta key create --tenant demo --name vagrant --json | sed 's/.*"secret":"\([^"]*\)".*/\1/' >$key)
fi

syllecta cluster status
cat <<END

The cluster is ready, and reached from the host at $*
Its certificates are signed by .vagrant/syllecta/tls/ca.pem, its admin token is .vagrant/syllecta/admin-token.

  API_KEY=$(cat $key)      # tenant "demo"
  curl --cacert .vagrant/syllecta/tls/ca.pem -X POST $1/v1/record -H "Authorization: Bearer \$API_KEY" \\
    -d '{"scope":"orders","key":"order-1"}'

Kill the leader under load: cmd/syllecta/packaging/vagrant/smoke.sh
END
