# shellcheck shell=bash
# Daemons: started once, found again by a record, ended by that record alone.
#
# A record is "<pid> <start time>": process ids come round again, and a process that merely has the number of one of
# ours must never be signalled.

RECORDS=$STATE/processes

# The 22nd field of /proc/PID/stat. The second, the name, may contain spaces, so count after its closing parenthesis.
start_time() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # shellcheck disable=SC2086 # split into fields on purpose
  set -- ${stat##*) }
  printf '%s' "${20}"
}

# recorded_pid NAME: prints the pid when the recorded process still lives. A zombie has ended.
recorded_pid() {
  local pid began
  read -r pid began 2>/dev/null <"$RECORDS/$1" || return 1
  [[ $(start_time "$pid") == "$began" ]] || return 1
  grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null && return 1
  printf '%s' "$pid"
}

# daemon NAME NETNS|- COMMAND…: in that network namespace, unless it runs already. Only the network namespace is entered:
# `ip netns exec` would also remount /sys and so hide the cgroups.
daemon() {
  local name=$1 netns=$2 enter=()
  shift 2
  recorded_pid "$name" >/dev/null && return
  [[ $netns == - ]] || enter=(nsenter "--net=/run/netns/$netns")
  mkdir -p "$RECORDS" "$LOG"
  # A background job of a script is no group leader, so setsid does not fork and $! is the daemon itself.
  setsid "${enter[@]}" "$@" >>"$LOG/$name.log" 2>&1 </dev/null 9>&- &
  printf '%s %s\n' "$!" "$(start_time "$!")" >"$RECORDS/$name"
}

# daemon_ready NAME SECONDS COMMAND…: wait until COMMAND succeeds, but not for a daemon that is dead.
daemon_ready() {
  local name=$1 deadline=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ! recorded_pid "$name" >/dev/null; then
      tail -n 15 "$LOG/$name.log" >&2
      die "$name ended by itself; its log is $LOG/$name.log"
    fi
    ((SECONDS < deadline)) || die "$name does not get ready; its log is $LOG/$name.log"
    sleep 0.1
  done
}

# stop_daemons NAME…: ask, wait up to ten seconds, insist, wait again: what follows unmounts what they used.
stop_daemons() {
  local name pid signal
  for signal in TERM KILL; do
    for name in "$@"; do
      if pid=$(recorded_pid "$name"); then kill "-$signal" "$pid" 2>/dev/null || true; fi
    done
    await_end "$@" && break
  done
  for name in "$@"; do rm -f "$RECORDS/$name"; done
}

await_end() {
  local name deadline=$((SECONDS + 10))
  for name in "$@"; do
    while recorded_pid "$name" >/dev/null; do
      ((SECONDS < deadline)) || return 1
      sleep 0.05
    done
  done
}
