# shellcheck shell=bash
# Bridge, nodes' namespaces and routes. No iptables rule in the root namespace.

network_up() {
  local node
  bridge_up
  host_namespace outside "$OUTSIDE"
  for address in "${OUTSIDE_ADDRESSES[@]}"; do ip -n outside addr replace "$address/32" dev eth0; done
  for node in "${NODES[@]}"; do
    host_namespace "$node" "$(node_address "$node")"
    nsenter "--net=/run/netns/$node" sysctl -qw net.ipv4.ip_forward=1
  done
  for node in "${NODES[@]}"; do routes_to_pods "$node"; done
}

bridge_up() {
  local node
  if ! ip link show "$BRIDGE" >/dev/null 2>&1; then
    ip route get "$CONTROL_PLANE" 2>/dev/null | grep -q 'dev \(cni\|podman\|docker\)' &&
      die "another program's bridge already serves ${CONTROL_PLANE%.*}.0/24; remove it or use the kind engine"
    ip link add "$BRIDGE" type bridge
  fi
  ip addr replace "$GATEWAY/24" dev "$BRIDGE"
  ip link set "$BRIDGE" up
  for node in "${NODES[@]}"; do ip route replace "$(pod_range "$node")" via "$(node_address "$node")"; done
}

# host_namespace NAME ADDRESS: a network namespace that is one host on the bridge.
host_namespace() {
  local name=$1 address=$2
  [[ -e /run/netns/$name ]] || ip netns add "$name"
  if ! ip -n "$name" link show eth0 >/dev/null 2>&1; then
    ip link add "v$name" type veth peer name eth0 netns "$name"
    ip link set "v$name" master "$BRIDGE" up
  fi
  ip -n "$name" link set lo up
  ip -n "$name" addr replace "$address/24" dev eth0
  ip -n "$name" link set eth0 up
}

outside_netns() { printf '/run/netns/outside'; }
outside_address() { printf '%s' "$OUTSIDE"; }

# A packet to a pod's address goes to the pod's node; everything else ends in `outside`.
routes_to_pods() {
  local node=$1 other
  ip -n "$node" route replace default via "$OUTSIDE"
  ip -n outside route replace "$(pod_range "$node")" via "$(node_address "$node")"
  for other in "${NODES[@]}"; do
    [[ $other == "$node" ]] || ip -n "$node" route replace "$(pod_range "$other")" via "$(node_address "$other")"
  done
}

# The veth first: a namespace is torn down asynchronously, and would keep the name in use.
host_namespace_down() { # host_namespace_down NAME
  ip link del "v$1" 2>/dev/null || true
  [[ ! -e /run/netns/$1 ]] || ip netns del "$1"
}

network_down() {
  local name
  for name in "${NODES[@]}" outside; do host_namespace_down "$name"; done
  ip link del "$BRIDGE" 2>/dev/null || true
}
