# shellcheck shell=bash
# shellcheck disable=SC2034 # constants for the scripts beside this one
# Addresses and names of the local cluster.
#
#   root namespace ── bridge tessera0 (10.88.0.1, registry on :5001)
#                       ├── kn1      10.88.0.11   control plane and node, pods 10.244.1.0/24
#                       ├── kn2      10.88.0.12   node,                   pods 10.244.2.0/24
#                       └── outside  10.88.0.2    "the world": 192.0.2.10, 169.254.169.254
#
# Each node is a network namespace with its own containerd, kubelet, kube-proxy, policy agent, volume provisioner and
# cgroup root: several real nodes on one machine, and any of them can be cut off. Nothing is routed off the machine:
# the nodes' default route ends in the namespace `outside`, which forwards nothing.

NODES=(kn1 kn2)
BRIDGE=tessera0
GATEWAY=10.88.0.1
CONTROL_PLANE=10.88.0.11
SERVICE_RANGE=10.96.0.0/16
SERVICE_API=10.96.0.1
SERVICE_DNS=10.96.0.10
POD_RANGE=10.244.0.0/16
OUTSIDE=10.88.0.2
OUTSIDE_ADDRESSES=(192.0.2.10 169.254.169.254)
# Every port a probe may aim at; 9000 and 8200 are what a node legitimately speaks to.
OUTSIDE_PORTS=80,443,8080,8200,9000

PUSH_REGISTRY=$GATEWAY:5001
PKI=$STATE/pki
LOG=$STATE/log
AUDIT_LOG=$LOG/audit.log
CONTAINERD=/usr/bin/containerd
CTR=/usr/bin/ctr
CNI_PLUGINS=/usr/lib/cni

node_number() { printf '%s' "${1#kn}"; }
node_address() { printf '10.88.0.%d' $((10 + $(node_number "$1"))); }
pod_range() { printf '10.244.%d.0/24' "$(node_number "$1")"; }
node_directory() { printf '%s/nodes/%s' "$STATE" "$1"; }
