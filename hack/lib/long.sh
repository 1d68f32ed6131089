# shellcheck shell=bash
# Suites that are too long for every run of hack/check. Each is a function below.

# `hack/check --rotate`, which is what CI runs, adds one of these.
ROTATED_SUITES=(long_images long_crash long_quiet long_oracle long_lost_cluster long_drill)
# Not these: with cold caches Flux's controllers and two more API servers are compiled for 20 to 40 minutes on two cores, and a
# run of CI would not end within 90 minutes. `hack/check --long` runs them beside the others.
LONG_SUITES=("${ROTATED_SUITES[@]}" long_gitops long_kubernetes)
# What 90 minutes leave beside hack/check with cold caches.
ROTATED_SUITE_MINUTES=30

# long_steps MODE: none, all (long), or the one whose turn it is (rotate).
long_steps() {
  local suite
  case $1 in
    long) for suite in "${LONG_SUITES[@]}"; do ! runs_here "$suite" || long_step_of "$suite"; done ;;
    rotate)
      long_step_of "$(suite_of_turn)"
      limit_step "${STEPS[-1]}" "$ROTATED_SUITE_MINUTES"
      ;;
  esac
}

# After everything else: long suites are measured by what they find, not by what they disturb.
long_step_of() { step long "${1//_/-}" "${STEPS[*]}" "$1"; }

# Which suite a commit gets follows from the number of commits before it: deterministic, and each gets its turn.
suite_of_turn() {
  local turn suite here=()
  for suite in "${ROTATED_SUITES[@]}"; do ! runs_here "$suite" || here+=("$suite"); done
  turn=$(git rev-list --count HEAD)
  printf '%s' "${here[turn % ${#here[@]}]}"
}

# With kind, volumes and etcd lie in one container and are lost together.
runs_here() { [[ $1 != @(long_lost_cluster|long_drill) || $(choose_engine) == local ]]; }

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

# The cluster and its etcd are lost, and the fleet is rebuilt from manifests, Vault and volumes.
long_lost_cluster() { hack/e2e lost-cluster; }

# The cluster and Vault are lost, and the keys are restored from a custodian's files.
long_drill() { hack/drill restore; }
