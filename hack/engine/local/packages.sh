# shellcheck shell=bash
# The Debian packages the local engine runs on, and what a machine must offer.

PACKAGES=(containerd runc containernetworking-plugins docker-registry iptables ipset conntrack socat ethtool iproute2
  util-linux openssl curl jq gcc libc6-dev postgresql)

check_machine() {
  [[ $(uname -s) == Linux ]] || die "the local engine needs Linux; install Docker or Podman and the kind engine is used"
  [[ $(id -u) == 0 ]] || die "the local engine makes network namespaces and mounts: run as root, or install Docker or Podman"
  # containerd's and the kubelet's sockets live under it, and a socket's path has at most 107 bytes.
  ((${#STATE} <= 70)) || die "the path $STATE is too long for Unix sockets; set XDG_STATE_HOME to a shorter one"
  [[ -e /proc/sys/net/ipv4/ip_forward ]] || die "the kernel has no IPv4"
}

install_packages() {
  local package missing=()
  for package in "${PACKAGES[@]}"; do
    [[ $(dpkg-query -Wf '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  need apt-get "install these packages by your system's own means: ${missing[*]}"
  long_step "installing Debian packages: ${missing[*]} (about 15 seconds)" "$LOG/packages.log" apt_install "${missing[@]}"
}

apt_install() {
  local guard=/usr/sbin/policy-rc.d
  # Debian starts a package's service when it is installed; ours are started by us, or a second registry would run.
  if [[ ! -e $guard ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$guard"
    chmod 755 "$guard"
    # shellcheck disable=SC2064 # the value of now
    trap "rm -f $guard" EXIT
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q -o DPkg::Lock::Timeout=120 update
  apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "$@"
}
