# shellcheck shell=bash disable=SC2034 # paths are for the scripts that source this
# Paths, messages and small helpers that every script under hack/ shares. Sourced, never run.
#
# The scripts source this first; it gives
#   ROOT   the repository            STATE  what the running cluster is (removed by `down --wipe`)
#   HACK   this folder               CACHE  what was built from pinned sources (safe to delete, costs time)

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
HACK=$ROOT/hack
STATE=${XDG_STATE_HOME:-$HOME/.local/state}/tessera-operator/cluster
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/tessera-operator
KUBECONFIG_FILE=$STATE/kubeconfig
# The name under which pods pull images, on both engines. Where a push goes is the engine's affair ($PUSH_REGISTRY).
REGISTRY=localhost:5001

# Seconds since the script began, for the progress lines.
elapsed() { printf '%4ds' "$SECONDS"; }

# Progress goes to standard error, so that a script's output stays what it is asked for.
say() { printf '[%s] %s\n' "$(elapsed)" "$*" >&2; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# need COMMAND HINT: a sentence now is better than "command not found" ten minutes later.
need() { command -v "$1" >/dev/null || die "missing: $1; $2"; }

# waitfor WHAT SECONDS COMMAND…: until the command succeeds, or say what did not happen.
waitfor() {
  local what=$1 deadline=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || die "timed out waiting: $what"
    sleep 0.1
  done
}

# long_step WHAT LOG COMMAND…: run something slow with its output in LOG and a sign of life every 20 seconds. The
# command's last line of output is the sign: compilers name what they compile.
long_step() {
  local what=$1 log=$2 began=$SECONDS pid next
  shift 2
  say "$what"
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 &
  pid=$!
  next=$((SECONDS + 20))
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    if ((SECONDS >= next)); then
      next=$((SECONDS + 20))
      say "  … $((SECONDS - began)) s, $(wc -l <"$log") lines in the log, now: $(tail -n 1 "$log" | cut -c1-80)"
    fi
  done
  if ! wait "$pid"; then
    tail -n 25 "$log" >&2
    die "failed: ${what%%:*} (the whole log: $log)"
  fi
}

# One `up`, `down` or push at a time. The lock dies with the script; daemons are started with the descriptor closed.
lock() {
  mkdir -p "$STATE"
  chmod 700 "$STATE"
  exec 9>"$STATE/lock"
  flock --nonblock 9 && return
  say "another hack/ script works on this cluster; waiting for it"
  flock --timeout 1800 9 || die "the other script still holds $STATE/lock after 30 minutes"
}

# chart_image REFERENCE: helm's argument for the operator's image, pinned by digest.
chart_image() { printf -- '--set=image.repository=%s,image.digest=%s' "${1%@*}" "${1#*@}"; }

# install_chart ARGUMENT…: the operator's chart, from this checkout. A helm that was killed leaves its revision "pending",
# and every later one is refused. On this cluster only our scripts install, and not two at a time: what is pending is dead.
install_chart() {
  (
    lock
    kubectl delete secret --namespace tessera-system --ignore-not-found >/dev/null \
      --selector 'owner=helm,name=tessera,status in (pending-install,pending-upgrade,pending-rollback)'
    helm upgrade --install tessera "$ROOT/charts/tessera-operator" --namespace tessera-system --create-namespace \
      "$(chart_image "$(cat "$STATE/images/tessera-operator.digest")")" "$@" --wait --timeout 3m >/dev/null
  )
}
