# shellcheck shell=bash
# hack/demo --tour: B's key gets a new version, and the network new CAs, while payloads flow. Sourced by hack/demo.
# shellcheck disable=SC2154 # ns, work and reply are hack/demo's.

# Each step takes the kubelet's period to bring files to pods, twice or three times.
TOUR_SECONDS=600

tour() {
  say "tour: a key and the CAs change, while A goes on sending to B"
  fill "$work/scraper.yaml" hack/demo.d/scraper.yaml
  kubectl apply -f "$work/scraper.yaml" >/dev/null
  kubectl wait pod prometheus -n "$ns" --for=condition=Ready --timeout=2m >/dev/null
  local pods_before sends
  pods_before=$(pods_and_restarts)
  steady "$(public_key b)" >"$work/steady" 2>&1 &
  steady_pid=$!
  rotate_key
  replace_cas
  touch "$work/stop"
  wait "$steady_pid" || die "a request failed: $(tail -n 5 "$work/steady")"
  sends=$(grep -c '^sent' "$work/steady")
  [[ "$(pods_and_restarts)" == "$pods_before" ]] || die "a pod was replaced or restarted: $(pods_and_restarts)"
  say "tour: $sends sends to the key that B had before, 0 failed, 0 restarts"
}

# What everybody does all the time: A sends to the key that it knows, B reads, C asks, and the scraper scrapes.
steady() {
  local key=$1 metrics="https://node-a.$ns.svc:9464/metrics"
  until [[ -e "$work/stop" ]]; do
    expect_at_once 201 a POST "https://node-a.$ns.svc:8080/send" --json "{\"payload\":\"$(base64 -w0 <<<tour)\",\"to\":[\"$key\"]}"
    echo "sent $reply"
    expect_at_once 200 b GET "https://node-b.$ns.svc:8080$(path_of "$(sed 's/.*"key":"\([^"]*\)".*/\1/' <<<"$reply")")"
    expect_at_once 200 c GET "https://node-c.$ns.svc:8080/upcheck"
    [[ "$(kubectl exec -n "$ns" prometheus -- /tessera-client request GET "$metrics" | head -n 1)" == *" 200"* ]] || {
      echo "the scraper was refused"
      return 1
    }
  done
}

# expect_at_once STATUS LEDGER METHOD URL [OPTIONS...]: no second try; leaves the reply in $reply.
expect_at_once() {
  local status=$1 ledger=$2 answer
  shift 2
  answer=$(kubectl exec -n "$ns" "ledger-$ledger" -- /tessera-client request "$@" 2>&1) || {
    echo "$ledger: $* failed: $answer"
    exit 1
  }
  [[ "$(head -n 1 <<<"$answer")" == *" $status"* ]] || {
    echo "$ledger: $* was answered $answer"
    exit 1
  }
  reply=$(tail -n +2 <<<"$answer")
}

rotate_key() {
  local old
  old=$(public_key b)
  kubectl tessera rotate node-b -n "$ns"
  tour_until "B has a new default key" '[[ -n "$(public_key b)" && "$(public_key b)" != '"'$old'"' ]]'
  kubectl tessera keys node-b -n "$ns"
}

replace_cas() {
  local trigger
  trigger=$(kubectl get tnet "$ns" -n "$ns" -o jsonpath='{.spec.pki.ca.rolloverTrigger}')
  trigger=$((${trigger:-0} + 1))
  kubectl patch tnet "$ns" -n "$ns" --type merge -p "{\"spec\":{\"pki\":{\"ca\":{\"rolloverTrigger\":$trigger}}}}" >/dev/null
  say "  spec.pki.ca.rolloverTrigger is $trigger: new CAs for the network and its admin ports"
  tour_until "the rollover has begun" '[[ -n "$(rollover)" ]]'
  tour_until "the old CAs are gone" '[[ -z "$(rollover)" ]]'
  kubectl tessera certificates "$ns" -n "$ns"
}

rollover() {
  kubectl get tnet "$ns" -n "$ns" -o jsonpath='{.status.rollover.phase}{" "}{.status.rollover.waitingFor[0]}' | sed 's/^ $//'
}

# tour_until WHAT TEST: shows the rollover's phases meanwhile; a request that failed ends it.
tour_until() {
  local deadline=$((SECONDS + TOUR_SECONDS)) last='' now
  until eval "$2"; do
    kill -0 "$steady_pid" 2>/dev/null || die "a request failed: $(tail -n 5 "$work/steady")"
    [[ $SECONDS -lt $deadline ]] || die "in vain: $1"
    now=$(rollover)
    # A phase that waits for nobody ends at once.
    [[ -z ${now#* } || $now == "$last" ]] || say "  $now"
    last=$now
  done
  say "  $1"
}

pods_and_restarts() {
  kubectl get pods -n "$ns" -l app.kubernetes.io/name=tessera-node \
    -o jsonpath='{range .items[*]}{.metadata.uid}{" "}{.status.containerStatuses[0].restartCount}{"\n"}{end}' | sort
}
