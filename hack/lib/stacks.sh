# shellcheck shell=bash
# Clients and servers of foreign TLS stacks, from e2e/stacks: stack-go, stack-java and stack-openssl in one folder.
#
#   sources + compilers ──sha256──▶ $CACHE/stacks-<hash>/{stack-go,stack-java,classes/,stack-openssl}

STACKS=$ROOT/e2e/stacks

stacks_key() {
  {
    go env GOVERSION GOARCH
    javac -version
    cd "$STACKS" || exit
    find . -type f | sort | xargs sha256sum
  } | sha256sum | cut -c1-16
}

# stack-go is static, so that it runs in an image that holds nothing else.
compile_stacks() { # compile_stacks DIRECTORY
  (
    cd "$STACKS/go" || exit
    CGO_ENABLED=0 GOFLAGS=-buildvcs=false nice go build -mod=readonly -trimpath -ldflags '-s -w' -o "$1/stack-go" .
  ) &&
    javac -Xlint:all -Werror --release 17 -d "$1/classes" "$STACKS/java/Stack.java" &&
    cp "$STACKS/java/stack-java" "$STACKS/openssl/stack-openssl" "$1/"
}

# stacks: builds them when needed and prints their folder. A failed step ends the subshell by itself, as in `build`.
stacks() (
  local directory
  need go "install Go 1.26 or newer from https://go.dev/dl"
  need javac "install a JDK, 17 or newer"
  need openssl "install the Debian package openssl"
  directory=$CACHE/stacks-$(stacks_key) || exit
  mkdir -p "$CACHE" || exit
  exec 8>"$directory.lock"
  flock 8
  if [[ ! -d $directory ]]; then
    rm -rf "$directory.partial"
    mkdir -p "$directory.partial/classes" || exit
    long_step "building the clients of foreign TLS stacks: about a minute the first time" \
      "$CACHE/log/stacks.log" compile_stacks "$directory.partial"
    mv "$directory.partial" "$directory" || exit
  fi
  printf '%s\n' "$directory"
)

# stacks_files: what an image of them holds, one FILE=/path/in/image a line, as push_image takes it: all in /stacks, the JDK's
# as a runtime of 34 MiB, and the programs that the scripts call with their libraries. The scripts need a writable /tmp.
stacks_files() (
  local directory program programs=(env bash sh openssl timeout grep cp cat rm mktemp mkfifo sleep)
  need jlink "install a JDK, 17 or newer, with its jmods"
  directory=$(stacks) || exit
  stacks_runtime "$directory.jre" || exit
  find "$directory" -type f -printf '%p=/stacks/%P\n'
  find "$directory.jre" -type f -not -path '*/legal/*' -printf '%p=/stacks/jre/%P\n'
  for program in "${programs[@]}"; do printf '%s=/bin/%s\n' "$(readlink -f "$(type -P "$program")")" "$program"; done
  # Where a script's first line looks for it.
  printf '%s=/usr/bin/env\n' "$(readlink -f "$(type -P env)")"
  mapfile -t programs < <(type -P "${programs[@]}")
  libraries_of "${programs[@]}" "$directory.jre/bin/java" "$directory.jre/lib/server/libjvm.so"
)

stacks_runtime() ( # stacks_runtime DIRECTORY
  exec 8>"$1.lock"
  flock 8
  [[ ! -d $1 ]] || exit 0
  rm -rf "$1.partial"
  long_step "making a small Java runtime: about half a minute, once" "$CACHE/log/stacks-runtime.log" \
    jlink --add-modules java.base,jdk.crypto.ec --strip-debug --no-header-files --no-man-pages --compress=2 --vm=server \
    --output "$1.partial"
  mv "$1.partial" "$1"
)

# libraries_of FILE…: each library of the system that one of them loads, under the name that it is loaded by.
libraries_of() {
  local library
  ldd "$@" | sed -nE 's/^\t(.* => )?(\/lib[^ ]*) .*/\2/p' | sort -u | while read -r library; do
    printf '%s=%s\n' "$(readlink -f "$library")" "$library"
  done
}
