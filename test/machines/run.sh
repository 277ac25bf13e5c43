#!/usr/bin/env bash
# A real `vagrant up` of the project's Vagrantfile without virtual machines, as root: test/machines/run.sh [CACHE]
#
# Each machine is a systemd-nspawn container (nspawn_provider.rb) with a Debian 12 of its own; the Vagrantfile and all
# that it runs are what users have. It brings three machines up, provisions them a second time, which must change
# nothing, kills the leader under load (smoke.sh), removes a node from the cluster, destroys the machines, and removes
# all traces, also when it fails.
#
# Needs, of Debian: vagrant mmdebstrap systemd-container nftables iproute2 rsync openssh-client curl perl, a package
# mirror for the root file system, and Go with its module cache or proxy. CACHE is a directory that keeps the root file
# system for the next run; without one it is made anew, which takes half a minute.
#
# As a test: go test ./test -run TestMachines -machines
set -euo pipefail
umask 022

here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
packaging=$project/cmd/syllecta/packaging

missing=()
for tool in vagrant mmdebstrap systemd-nspawn nft ip nsenter rsync ssh-keygen curl perl go; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
[ ${#missing[@]} = 0 ] || { echo "not installed: ${missing[*]}" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo 'only root can make namespaces and boot containers' >&2; exit 2; }

work=$(mktemp -d)
export NSPAWN_PREFIX=sy$(($$ % 100000)) NSPAWN_BRIDGE=br0
export NSPAWN_ROOT=$work/root NSPAWN_KEY=$work/key
export VAGRANT_HOME=$work/home VAGRANT_DOTFILE_PATH=$work/dot VAGRANT_CHECKPOINT_DISABLE=1
hub=$NSPAWN_PREFIX-hub

# Not `ip netns exec`: it mounts another /sys, in which nspawn finds no control groups.
# There is no way to a module proxy inside, so that what was downloaded before takes its place.
modules=file://$(go env GOMODCACHE)/cache/download
inside() { GOPROXY=$modules nsenter --net="/run/netns/$hub" "$@"; }
step() { printf '\n== %s (%d s)\n' "$1" "$SECONDS"; }

clean() {
  local status=$? pid mount
  trap - EXIT INT TERM
  step 'cleaning up'
  cd "$project"
  [ ! -d "$work/dot" ] || inside vagrant destroy -f || true
  # What is left if even that failed: the machines, known by the root file system they run on.
  for pid in $(pgrep --full "systemd-nspawn .*$work/" || true); do
    kill -KILL "$pid" || true
    tail --pid="$pid" -f /dev/null
  done
  find /sys/fs/cgroup -depth -type d -path "*/$NSPAWN_PREFIX-*" -exec rmdir {} + 2>/dev/null || true
  awk -v work="$work/" 'index($2, work) == 1 { print $2 }' /proc/self/mounts | sort -r |
    while read -r mount; do umount --lazy "$mount" || true; done
  for namespace in $(ip netns list | awk -v prefix="$NSPAWN_PREFIX-" 'index($1, prefix) == 1 { print $1 }'); do
    ip netns del "$namespace" || true
  done
  rm -rf "$work"
  exit "$status"
}
trap clean EXIT
trap 'exit 130' INT TERM

# make_root DIRECTORY
make_root() {
  mmdebstrap --quiet --variant=minbase \
    --include=systemd,systemd-sysv,dbus,openssh-server,sudo,rsync,iproute2,curl,ca-certificates bookworm "$1"
  chroot "$1" useradd --create-home --shell /bin/bash vagrant
  echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$1/etc/sudoers.d/vagrant"
}

step 'root file system'
if [ $# -gt 0 ]; then
  mkdir -p "$1"
  cache=$(cd "$1" && pwd)/bookworm
  [ -d "$cache" ] || { make_root "$cache.new" && mv "$cache.new" "$cache"; }
  cp --archive --reflink=auto "$cache" "$NSPAWN_ROOT"
else
  make_root "$NSPAWN_ROOT"
fi
ssh-keygen -q -t ed25519 -N '' -f "$NSPAWN_KEY"
install -d -m 700 -o 1000 -g 1000 "$NSPAWN_ROOT/home/vagrant/.ssh"
install -m 600 -o 1000 -g 1000 "$NSPAWN_KEY.pub" "$NSPAWN_ROOT/home/vagrant/.ssh/authorized_keys"

step 'network'
ip netns add "$hub"
inside ip link set lo up
inside ip link add "$NSPAWN_BRIDGE" type bridge
inside ip addr add 192.168.56.1/24 dev "$NSPAWN_BRIDGE"
inside ip link set "$NSPAWN_BRIDGE" up
# Ports forwarded from 127.0.0.1, as a hypervisor would do it.
inside sh -c 'echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet'
inside nft -f - <<END
table ip forwarded {
  chain output { type nat hook output priority -100; }
  chain back { type nat hook postrouting priority srcnat; ip saddr 127.0.0.0/8 oifname "$NSPAWN_BRIDGE" masquerade; }
}
END

step 'package'
"$packaging/build-deb.sh" "$work/package" # which downloads what it needs

step 'vagrant up'
mkdir -p "$VAGRANT_HOME"
echo "require '$here/nspawn_provider'" >"$VAGRANT_HOME/Vagrantfile"
cd "$project"
vagrant validate
inside vagrant up --provider nspawn --no-parallel
cmp "$work"/package/*.deb "$VAGRANT_DOTFILE_PATH"/syllecta/*.deb # the same sources, the same bytes

# on NODE COMMAND
on() { inside vagrant ssh "$1" -c "$2" -- -q; }
processes() { for node in node1 node2 node3; do on "$node" 'systemctl show --property MainPID --value syllecta'; done; }

step 'vagrant provision, once more'
was=$(processes)
inside vagrant provision
[ "$was" = "$(processes)" ] || { echo 'provisioning again restarted a node'; exit 1; }
inside vagrant status
on node1 'sudo systemctl status --no-pager --lines 0 syllecta'
on node1 'systemd-analyze security --no-pager syllecta | tail -n 1'

step 'smoke test'
inside "$packaging/vagrant/smoke.sh"

# A node that was removed from the cluster ends, and systemd leaves it at that.
step 'removing a node'
on node1 'sudo env SYLLECTA_SERVER=https://node1:4000 SYLLECTA_CA_FILE=/etc/syllecta/ca.pem \
  SYLLECTA_ADMIN_TOKEN_FILE=/etc/syllecta/admin-token syllecta cluster remove node3 --yes'
for _ in $(seq 60); do
  [ "$(on node3 'systemctl is-active syllecta || true' | tr -d '\r')" != failed ] || break
done
on node3 'systemctl show --property ActiveState,ExecMainStatus,NRestarts syllecta' | tee "$work/removed"
on node3 'sudo journalctl --unit syllecta --lines 3 --output cat'
grep -q ExecMainStatus=8 "$work/removed"
grep -q ActiveState=failed "$work/removed"

step 'done'
