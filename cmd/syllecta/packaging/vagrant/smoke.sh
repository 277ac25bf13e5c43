#!/usr/bin/env bash
# Against the machines that `vagrant up` made: claims and completes one key after the other, kills the leader with
# kill -9 meanwhile, and checks that claims go on, that nothing acknowledged is lost, and that systemd brings the node
# back. Needs curl and perl.
set -euo pipefail
umask 077

cd "$(dirname "$0")/../../../.."
files=$(cd "${VAGRANT_DOTFILE_PATH:-.vagrant}/syllecta" && pwd)
set -- "$files"/node*.tar
nodes=$#
patience=60 # seconds, for anything that is waited for
before=50 after=200 # keys, before and after the kill

work=$(mktemp -d)
writer=
trap '[ -z "$writer" ] || kill "$writer" 2>/dev/null; rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
now_ms() { perl -MTime::HiRes=time -e 'printf "%d\n", time * 1000'; }
url() { echo "https://127.0.0.1:$((4000 + $1))"; }
on() { vagrant ssh "$1" -c "$2" -- -q | tr -d '\r'; }

# ask AS METHOD PATH [BODY] asks any node, then the next, until one answers with success, and prints the answer.
ask() {
  local until=$((SECONDS + patience)) turn=$RANDOM
  while [ "$SECONDS" -lt "$until" ]; do
    turn=$((turn + 1))
    curl --silent --fail --connect-timeout 2 --max-time 5 --cacert "$files/tls/ca.pem" --header "@$work/$1" \
      --request "$2" "$(url $((turn % nodes + 1)))$3" --data "${4:-}" && return
    sleep 0.05
  done
  fail "$2 $3 was answered by no node for $patience s"
}

# write claims and completes keys until it is told to stop, and notes each when it was acknowledged.
write() {
  local i=0 answer
  while [ ! -e "$work/enough" ]; do
    i=$((i + 1))
    # The owner makes repeating the claim safe: it leads back into the same lock.
    answer=$(ask key POST /v1/record '{"scope":"smoke","key":"'"$run-$i"'","owner":"'"$run"'"}')
    case $answer in *'"locked":true'*) ;; *) fail "claim of key $i: $answer" ;; esac
    answer=$(ask key PUT /v1/record '{"scope":"smoke","key":"'"$run-$i"'","body":{"n":'"$i"'}}')
    echo "$i $(now_ms)" >>"$work/acknowledged"
  done
}

acknowledged() { grep -c . "$work/acknowledged" || true; }

# await COUNT waits until that many keys are acknowledged.
await() {
  local until=$((SECONDS + patience))
  while [ "$(acknowledged)" -lt "$1" ]; do
    kill -0 "$writer" 2>/dev/null || fail 'the writer gave up'
    [ "$SECONDS" -lt "$until" ] || fail "only $(acknowledged) of $1 keys were acknowledged"
    sleep 0.1
  done
}

run=smoke-$(now_ms)
: >"$work/acknowledged"
echo "Authorization: Bearer $(cat "$files/admin-token")" >"$work/admin"
echo "Authorization: Bearer $(on "node$nodes" 'sudo cat /etc/syllecta/demo-key')" >"$work/key"
leader=$(ask admin GET /v1/admin/status | sed 's/.*"leaderId":"\([^"]*\)".*/\1/')
restarts=$(on "$leader" 'systemctl show --property NRestarts --value syllecta')

write &
writer=$!
await "$before"
echo "$(acknowledged) keys acknowledged; killing $leader, which leads"
on "$leader" 'sudo systemctl kill --signal=KILL --kill-whom=main syllecta'
await $(($(acknowledged) + after))
touch "$work/enough"
wait "$writer" || fail 'the writer gave up'
writer=

lost=0
while read -r i _; do
  case $(ask key GET "/v1/record?scope=smoke&key=$run-$i") in
  *'"cached":true'*'"body":{"n":'"$i"'}'*) ;;
  *) lost=$((lost + 1)) ;;
  esac
done <"$work/acknowledged"
[ "$lost" = 0 ] || fail "$lost of $(acknowledged) acknowledged keys are lost"

until=$((SECONDS + patience))
while ! curl --silent --fail --output /dev/null --cacert "$files/tls/ca.pem" "$(url "${leader#node}")/readyz"; do
  [ "$SECONDS" -lt "$until" ] || fail "$leader did not become ready again"
  sleep 0.2
done
[ "$(on "$leader" 'systemctl show --property NRestarts --value syllecta')" -gt "$restarts" ] ||
  fail "systemd does not say that it restarted $leader"

gap=$(awk 'NR > 1 && $2 - last > gap { gap = $2 - last } { last = $2 } END { print gap }' "$work/acknowledged")
echo "passed: $(acknowledged) keys acknowledged, none lost; longest time without an acknowledgement $gap ms"
echo "$leader was restarted by systemd: $(on "$leader" 'systemctl show --property StatusText --value syllecta')"
