#!/usr/bin/env bash
# On the host, before machines come up: prepare.sh DIRECTORY NODE=ADDRESS…
#
# Builds the package and, once, makes the certificates, the gossip key, the admin token and the key-encryption key.
# NODE.tar is all that the machine of that node gets: the keys of the other nodes and of the CA do not leave this host.
set -euo pipefail
umask 077

here=$(cd "$(dirname "$0")" && pwd)
command=$(cd "$here/../.." && pwd)
mkdir -p "$1"
files=$(cd "$1" && pwd)
shift
echo '*' >"$files/.gitignore" # there are keys in here

"$here/../build-deb.sh" "$files"

new=()
for node in "$@"; do
  # Machines call each other by name; clients on this host come in by a forwarded port of localhost.
  [ -e "$files/tls/${node%%=*}-http.key" ] || new+=("$node,${node%%=*}")
done
if [ ${#new[@]} -gt 0 ]; then
  (cd "$command" && go run . tls init --dir "$files/tls" "${new[@]}")
fi
[ -e "$files/admin-token" ] || head -c 24 /dev/urandom | base64 >"$files/admin-token"
[ -e "$files/kek" ] || (cd "$command" && go run . kek generate --out "$files/kek")

for node in "$@"; do
  name=${node%%=*}
  stage=$(mktemp -d)
  cp "$files"/syllecta_*.deb "$stage/syllecta.deb"
  cp "$files/admin-token" "$files/kek" "$files/tls/ca.pem" "$files/tls/gossip.key" "$stage"
  for end in pem key; do # under the same names on each machine, so that the settings are the same
    cp "$files/tls/$name.$end" "$stage/node.$end"
    cp "$files/tls/$name-http.$end" "$stage/http.$end"
  done
  tar -C "$stage" -cf "$files/$name.tar" .
  rm -rf "$stage"
done
