# shellcheck shell=bash
# Tools from PyPI, each in a virtual environment of its own.

# python_tool NAME: the path of a tool, installed once with exactly what hack/python/NAME.txt lists.
python_tool() {
  local pins=$HACK/python/$1.txt environment
  need python3 "install the Debian packages python3 and python3-venv"
  environment=$CACHE/python/$1-$(sha256sum "$pins" | cut -c1-16)
  [[ -e $environment/complete ]] ||
    long_step "installing $1 from PyPI: once, about a minute" "$CACHE/log/$1.log" python_environment "$environment" "$pins" >&2
  printf '%s/bin/%s\n' "$environment" "$1"
}

python_environment() { # python_environment DIRECTORY PINS
  python3 -m venv --clear "$1"
  "$1/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$2"
  touch "$1/complete"
}
