#!/usr/bin/env bash
# Runs a command by horovodrun on two hosts, one rank on each. The hosts are two network namespaces
# of this machine, each with its address, its name and its sshd. For root; needs openssh-server and
# iproute2.
#
#   scripts/two_hosts.sh .venv/bin/python scripts/train_imagenet.py --data … --output …
#
#   PYTHON   the interpreter whose horovodrun starts it (default: .venv/bin/python)
set -euo pipefail
python=${PYTHON:-.venv/bin/python}
work=$(mktemp -d)
hosts=(dgtrain1 dgtrain2)

clean() {
  for host in "${hosts[@]}"; do
    [[ ! -e $work/$host.pid ]] || kill "$(<"$work/$host.pid")"
    ip netns del "$host" 2>/dev/null || true
    rm -rf "/etc/netns/$host"
  done
  rm -rf "$work"
}
trap clean EXIT

ssh-keygen -q -t ed25519 -N '' -f "$work/key"
ssh-keygen -q -t ed25519 -N '' -f "$work/host_key"
mkdir -p /run/sshd
for i in 0 1; do
  host=${hosts[$i]}
  # This host's name is its address here, not 127.0.0.1 as in most /etc/hosts: Horovod 0.28 sets up
  # its process sets by the name, whatever interface it is told to use.
  mkdir -p "/etc/netns/$host"
  printf '127.0.0.1 localhost\n10.77.0.%d %s\n' $((i + 1)) "$(hostname)" >"/etc/netns/$host/hosts"
  ip netns add "$host"
done
ip -n "${hosts[0]}" link add eth0 type veth peer name eth0 netns "${hosts[1]}"
for i in 0 1; do
  host=${hosts[$i]} address=10.77.0.$((i + 1))
  ip -n "$host" addr add "$address/24" dev eth0
  ip -n "$host" link set eth0 up
  ip -n "$host" link set lo up
  ip netns exec "$host" /usr/sbin/sshd -f /dev/null -p 2222 -o ListenAddress="$address" \
    -o HostKey="$work/host_key" -o AuthorizedKeysFile="$work/key.pub" -o StrictModes=no \
    -o PermitRootLogin=prohibit-password -o PidFile="$work/$host.pid"
done
ip netns exec "${hosts[0]}" "$python" "$(dirname "$python")/horovodrun" -np 2 --gloo \
  -H 10.77.0.1:1,10.77.0.2:1 -p 2222 --ssh-identity-file "$work/key" \
  --network-interfaces eth0 "$@"
