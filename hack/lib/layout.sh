# shellcheck shell=bash
# Rules of the tree that a compiler does not know. `layout` prints every breach and fails on any.

layout() {
  local breaches
  breaches=$(long_files; top_level; pure_files; single_writer; unsafe_code; processes)
  [[ -z $breaches ]] || { printf '%s\n' "$breaches"; return 1; }
}

# breach RULE: the files named on standard input, one a line, break it.
breach() { sed "s|^|$1: |"; }

# Production lines end where a file's tests begin.
long_files() {
  git ls-files '*.rs' | grep -vE '/tests?/|/tests\.rs$' | while read -r file; do
    awk -v file="$file" '/^#\[cfg\(test\)\]/ { exit } { n++ } END { if (n > 400) print file " (" n " lines)" }' "$file"
  done | breach 'over 400 production lines, split it'
}

top_level() {
  git ls-files | cut -d/ -f1 | sort -u |
    grep -vE '^(Cargo\.(toml|lock)|operator|tessera-node|crds|charts|e2e|hack|README\.md|LICENSE|\..*)$' |
    breach 'a top-level entry beyond the layout'
}

# A file is pure when its own first line says so, and by its place: stages between reading and writing, and the crates
# without IO. Pure code asks no API server, runtime, clock, file, network or environment.
pure_files() {
  {
    git ls-files '*.rs' | xargs awk 'FNR == 1 && tolower($0) ~ /^\/\/!.*\<pure\>/ { print FILENAME }'
    git ls-files | grep -E '^operator/src/(.*/(resolve|desired|status)(/.*)?|(node|network)/events|report/.*|issue/leaf|kube/(drift|meta|ownership|planned|quantity|write_error))\.rs$'
    git ls-files 'operator/pki/src/*.rs' 'tessera-node/enclave/src/*.rs' 'tessera-node/api/src/*.rs'
  } | sort -u | grep -v '/tests' | xargs_grep_production \
    'kube::(Client|Api)\b|\btokio::|std::(fs|net|env|process)\b|Timestamp::now\(|Instant::now\(|SystemTime::now\(' |
    breach 'a pure file that does IO or reads a clock'
}

# Only these folders write to the API server.
single_writer() {
  git ls-files 'operator/src/*.rs' | grep -v '^operator/src/kube/' |
    xargs_grep_production '\.(patch|patch_status|replace|replace_status|create|delete|delete_collection)\(' |
    breach 'only operator/src/kube/ writes to the API server'
}

unsafe_code() {
  git ls-files '*.rs' | grep -v '^tessera-node/sys/' | xargs_grep_production '\bunsafe( fn| \{|$)' |
    breach 'unsafe outside tessera-node/sys'
}

# Settings come in by the command line alone.
processes() {
  git ls-files 'operator/src/*.rs' 'tessera-node/src/*.rs' | grep -vE '/(main|args)\.rs$' |
    xargs_grep_production 'std::env::var' | breach 'reads the environment outside of the command line'
}

# xargs_grep_production PATTERN: of the files on standard input, those whose production lines match.
xargs_grep_production() {
  local file
  while read -r file; do
    if sed '/^#\[cfg(test)\]/,$d' "$file" | grep -qE "$1"; then printf '%s\n' "$file"; fi
  done
}
