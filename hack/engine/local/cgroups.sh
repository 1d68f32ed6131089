# shellcheck shell=bash
# A cgroup of its own for each node: the kubelet's root, so that nodes on one machine do not count each other's pods.

cgroups_are_v2() { [[ $(stat -fc %T /sys/fs/cgroup) == cgroup2fs ]]; }

cgroup_up() { # cgroup_up NODE
  if cgroups_are_v2; then cgroup_v2_up "$1"; else cgroup_v1_up "$1"; fi
}

# One tree. A controller serves a child only when its parent passes it on.
cgroup_v2_up() {
  local controller
  local controllers
  read -ra controllers </sys/fs/cgroup/cgroup.controllers
  for controller in "${controllers[@]}"; do
    grep -qw "$controller" /sys/fs/cgroup/cgroup.subtree_control && continue
    echo "+$controller" 2>/dev/null >/sys/fs/cgroup/cgroup.subtree_control || case $controller in
      cpu | cpuset | memory | pids)
        die "cannot pass the cgroup controller '$controller' on; inside a container, give it its own delegated cgroup"
        ;;
    esac
  done
  mkdir -p "/sys/fs/cgroup/$1"
}

# A tree for each controller; the kubelet wants its root in all of them.
cgroup_v1_up() {
  local hierarchy
  for hierarchy in $(cgroup_v1_hierarchies); do mkdir -p "$hierarchy/$1"; done
  hierarchy=$(cgroup_v1_hierarchies | grep -m 1 cpuset) || die "the kernel offers no cpuset cgroup"
  # A new cpuset is empty, and nothing can run in it until its processors and memory are set.
  cat "$hierarchy/cpuset.cpus" >"$hierarchy/$1/cpuset.cpus"
  cat "$hierarchy/cpuset.mems" >"$hierarchy/$1/cpuset.mems"
  echo 1 >"$hierarchy/$1/cgroup.clone_children"
}

cgroup_v1_hierarchies() { awk '$3 == "cgroup" { print $2 }' /proc/self/mounts; }

# Every tree, the second version's beside the first's as well: runc makes its cgroups there too.
cgroup_down() { # cgroup_down NODE
  local tree
  while read -r tree; do
    [[ -d $tree/$1 ]] || continue
    find "$tree/$1" -depth -type d -exec rmdir {} \; 2>/dev/null || true
  done < <(awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/self/mounts)
}
