# shellcheck shell=bash
# Steps that run several at a time, each after the steps that it needs, with a table of what each one cost.
#
#   step KIND NAME "NEEDS…" COMMAND   COMMAND is one word, a function or a program; NEEDS are names of earlier steps
#   limit_step NAME MINUTES           the step fails when it takes longer
#   run_steps SLOTS                   runs all of them; stops at the first that fails
#
# A step's output goes to a log. When it passes, the closing lines of its test runners are printed; when it fails, all of
# the log. Tests are counted from the closing lines of `cargo test` (also nextest's) and from 'N passed, N failed'.

declare -A STEP_KIND STEP_NEEDS STEP_COMMAND STEP_STATE STEP_BEGAN STEP_LIMIT STEP_WATCH
STEPS=()
STEP_LOGS=$(mktemp -d)
trap end_steps EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step() {
  local name=$2
  STEPS+=("$name")
  STEP_KIND[$name]=$1 STEP_NEEDS[$name]=$3 STEP_COMMAND[$name]=$4 STEP_STATE[$name]=waiting
  local need
  for need in $3; do [[ ${STEP_COMMAND[$need]:-} ]] || die "step $name needs $need, which is no earlier step"; done
}

limit_step() { STEP_LIMIT[$1]=$2; }

# Monitor mode gives each step a process group, so that a step that is stopped takes its children along.
run_steps() {
  local slots=$1 name pid
  declare -gA STEP_OF_PID=()
  set -m
  while :; do
    for name in "${STEPS[@]}"; do
      ((${#STEP_OF_PID[@]} < slots)) || break
      if [[ ${STEP_STATE[$name]} == waiting ]] && needs_are_met "$name"; then start_step "$name"; fi
    done
    ((${#STEP_OF_PID[@]})) || break
    if wait -n -p pid "${!STEP_OF_PID[@]}"; then finish_step "$pid" passed; else finish_step "$pid" failed; fi
  done
}

needs_are_met() {
  local need
  for need in ${STEP_NEEDS[$1]}; do [[ ${STEP_STATE[$need]} == passed ]] || return 1; done
}

start_step() {
  local name=$1
  say "$name …"
  STEP_STATE[$name]=running STEP_BEGAN[$name]=$SECONDS
  timed "${STEP_COMMAND[$name]}" "$STEP_LOGS/$name" </dev/null &
  STEP_OF_PID[$!]=$name
  [[ -z ${STEP_LIMIT[$name]:-} ]] || watch_step "$name" "$!"
}

# watch_step NAME PID: ends the step, with all that it started, when its time is over.
watch_step() {
  local log=$STEP_LOGS/$1 limit=${STEP_LIMIT[$1]} pid=$2
  {
    sleep "${limit}m"
    printf 'error: not done within %s minutes\n' "$limit" >>"$log"
    kill -TERM -- "-$pid"
  } </dev/null >/dev/null 2>&1 &
  STEP_WATCH[$pid]=$!
  disown "$!" # else its end is reported among the steps' lines
}

# unwatch_step PID: its watch has a process group, too.
unwatch_step() {
  [[ -z ${STEP_WATCH[$1]:-} ]] || kill -TERM -- "-${STEP_WATCH[$1]}" 2>/dev/null || true
  unset "STEP_WATCH[$1]"
}

# timed COMMAND LOG: its wall-clock and processor seconds go to LOG.time.
timed() {
  local TIMEFORMAT='%R %U %S'
  # What the step itself starts stays in the step's process group.
  set +m
  { time "$1" >"$2" 2>&1; } 2>"$2.time"
}

finish_step() { # finish_step PID passed|failed
  local name=${STEP_OF_PID[$1]}
  unset "STEP_OF_PID[$1]"
  unwatch_step "$1"
  STEP_STATE[$name]=$2
  if [[ $2 == failed ]]; then
    cat "$STEP_LOGS/$name"
    cost_table
    printf '\n%d passed, 1 failed\n' "$(tests_passed)"
    die "$name failed after $((SECONDS - STEP_BEGAN[$name])) s (its output is above the table)"
  fi
  closing_lines "$STEP_LOGS/$name" | sort | uniq -c | sed 's/^ *1 //'
  say "$name: done in $((SECONDS - STEP_BEGAN[$name])) s"
}

closing_lines() { grep -hE '^(test result:|fuzz [a-z_0-9]+:|[0-9]+ passed, [0-9]+ failed| *Summary \[)' "$@" || true; }

# count_tests LOG…: 'PASSED FAILED'.
count_tests() {
  closing_lines "$@" | awk '
    /^test result:/ { p += $4; f += $6 }
    /^[0-9]+ passed/ { p += $1; f += $3 }
    / Summary \[/ { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p += $(i - 1); if ($i ~ /^failed/) f += $(i - 1) } }
    END { print p + 0, f + 0 }'
}

tests_passed() { count_tests "$STEP_LOGS"/* | cut -d' ' -f1; }

# What each step cost, dearest first: seconds by the clock, and of all processors together.
cost_table() {
  local name
  printf '\n%-42s %8s %8s %8s\n' step 'clock s' 'cpu s' tests
  for name in "${STEPS[@]}"; do
    [[ -s $STEP_LOGS/$name.time ]] || continue
    printf '%s %s %s\n' "$name" "$(tail -n 1 "$STEP_LOGS/$name.time")" "$(count_tests "$STEP_LOGS/$name")"
  done | sort -k2,2nr | awk '
    { printf "%-42s %8.0f %8.0f %8d\n", $1, $2, $3 + $4, $5; cpu += $3 + $4; tests += $5 }
    END { printf "%-42s %8d %8.0f %8d\n", "all, several at a time", '"$SECONDS"', cpu, tests }'
}

# The last lines: tests by kind, then all of them. Fails when a runner counted a failure and yet exited with 0.
summary() {
  local name
  cost_table
  echo
  for name in "${STEPS[@]}"; do
    printf '%s %s\n' "${STEP_KIND[$name]}" "$(count_tests "$STEP_LOGS/$name")"
  done | awk '
    { p[$1] += $2; f[$1] += $3; P += $2; F += $3 }
    END {
      for (k in p) if (p[k] + f[k]) printf "tests of kind %-10s %5d passed, %d failed\n", k, p[k], f[k]
      printf "\n%d passed, %d failed\n", P, F
      exit F > 0
    }'
}

end_steps() {
  local pid
  for pid in "${!STEP_OF_PID[@]}"; do
    unwatch_step "$pid"
    kill -TERM -- "-$pid" 2>/dev/null || true
  done
  wait
  rm -rf "$STEP_LOGS"
}
