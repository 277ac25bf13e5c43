#!/bin/sh
# On a machine, as root: provision.sh NODE.TAR NODE=ADDRESS…
#
# Installs and starts the node, with the same settings as on every other machine. Run again it changes, and restarts,
# only what is not yet as it should be.
set -eu

archive=$1
shift
new=$(mktemp -d)
trap 'rm -rf "$new" "$archive"' EXIT
tar -C "$new" -xf "$archive"
changed=

# put FILE OWNER PATH
put() {
    cmp -s "$1" "$3" && return
    install -m 600 -o "$2" -g "$2" "$1" "$3"
    changed=yes
}

# The nodes find each other by name. A machine's own name must not lead to loopback: others could not follow.
{
    sed -e "/ # syllecta\$/d" -e "/^127\..*[[:space:]]$(hostname)\([[:space:]]\|\$\)/d" /etc/hosts
    for node in "$@"; do
        echo "${node#*=} ${node%%=*} # syllecta"
    done
} >"$new/hosts"
put "$new/hosts" root /etc/hosts
chmod 644 /etc/hosts

dpkg-deb --extract "$new/syllecta.deb" "$new/package"
if ! cmp -s "$new/package/usr/bin/syllecta" /usr/bin/syllecta; then
    dpkg --force-confold -i "$new/syllecta.deb"
fi

for file in ca.pem node.pem node.key http.pem http.key gossip.key admin-token kek; do
    put "$new/$file" syllecta "/etc/syllecta/$file"
done
join=
for node in "$@"; do
    join="$join${join:+, }\"${node%%=*}:4100\""
done
cat >"$new/syllecta.toml" <<END
# Settings of this node, the same on all of them; made by provision.sh.
bootstrap_expect = $#
join = [$join]
# Clients on the host come in by forwarded ports and could not follow a redirect to another machine's name.
followers = "forward"

http_addr = "0.0.0.0:4000"
http_cert_file = "/etc/syllecta/http.pem"
http_key_file = "/etc/syllecta/http.key"

raft_addr = "0.0.0.0:4100"
node_ca_file = "/etc/syllecta/ca.pem"
node_cert_file = "/etc/syllecta/node.pem"
node_key_file = "/etc/syllecta/node.key"

gossip_addr = "0.0.0.0:4200"
gossip_key_file = "/etc/syllecta/gossip.key"

admin_token_file = "/etc/syllecta/admin-token"
kek_file = "/etc/syllecta/kek"
END
put "$new/syllecta.toml" syllecta /etc/syllecta/syllecta.toml

# A node is ready as soon as its cluster is there. The first machines cannot wait for that: the last is not there yet.
systemctl enable --quiet syllecta
verb=start
[ -z "$changed" ] || verb=restart
systemctl --no-block $verb syllecta
for _ in $(seq 100); do
    state=$(systemctl is-active syllecta) || true
    said=$(systemctl show --property StatusText --value syllecta)
    case "$state/$said" in
    active/* | activating/not\ ready*)
        echo "$(hostname): $said"
        exit 0
        ;;
    esac
    sleep 0.3
done
systemctl status --no-pager syllecta || true
exit 1
