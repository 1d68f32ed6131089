# shellcheck shell=bash
# Packages of Debian that a script needs on this machine.

# debian_package NAME: installs it.
debian_package() {
  need apt-get "install $1 by your system's own means"
  apt-get -q -o DPkg::Lock::Timeout=120 update
  DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "$1"
}
