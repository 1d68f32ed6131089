# shellcheck shell=bash
# Suites that are too long for every run of hack/check. `hack/check --rotate` runs one of them in each run.

# Each is a function below.
LONG_SUITES=(long_kubernetes long_images long_crash long_quiet long_oracle long_gitops)

# long_steps MODE: none, all (long), or the one whose turn it is (rotate).
long_steps() {
  local suite
  case $1 in
    long) for suite in "${LONG_SUITES[@]}"; do long_step_of "$suite"; done ;;
    rotate) long_step_of "$(suite_of_turn)" ;;
  esac
}

# After everything else: long suites are measured by what they find, not by what they disturb.
long_step_of() { step long "${1/_/-}" "${STEPS[*]}" "$1"; }

# Which suite a commit gets follows from the number of commits before it: deterministic, and each gets its turn.
suite_of_turn() {
  local turn
  turn=$(git rev-list --count HEAD)
  printf '%s' "${LONG_SUITES[turn % ${#LONG_SUITES[@]}]}"
}

# The CRDs, the policies and the operator on the oldest and the newest API server that the chart allows.
long_kubernetes() {
  local version
  for version in 1.31 1.37; do
    say "Kubernetes $version"
    hack/apiserver --kubernetes "$version" -- hack/lib/on-apiserver.sh "$version"
  done
}

# Images are reproducible: our crates are compiled a second time, and the digests compared.
long_images() { hack/image --check; }

long_crash() { TESSERA_CRASH_CUTS=5000 cargo test --workspace --locked --test store; }

long_quiet() { TESSERA_QUIET_SECONDS=600 hack/e2e quiet; }

long_oracle() { hack/oracle/run 5000; }

# Flux's controllers reconcile a fleet under the chart's policies.
long_gitops() { hack/e2e gitops; }
