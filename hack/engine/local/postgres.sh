# shellcheck shell=bash
# PostgreSQL's image out of Debian's package: its programs, their libraries, a shell, and the user they run as.

postgres_image() { # prints the reference
  local programs files=() account=$STATE/images/postgres.passwd
  programs=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
  [[ -x $programs/postgres ]] || die "missing: PostgreSQL's programs; install the Debian package postgresql"
  echo 'postgres:x:999:999::/:/bin/sh' >"$account"
  mapfile -t files < <(postgres_files "$programs")
  push_image postgres /bin/sh "$account=/etc/passwd" /bin/sh=/bin/sh "${files[@]}"
  cat "$STATE/images/postgres.digest"
}

# postgres_files PROGRAMS: FILE=/path/in/image, a line each. Without the just-in-time compiler, which brings all of LLVM.
postgres_files() {
  local programs=$1 version_folder=${1%/bin} modules
  mapfile -t modules < <(find "$version_folder/lib" -maxdepth 1 -name '*.so' ! -name 'llvmjit*')
  {
    printf '%s\n' "$programs"/{postgres,initdb,psql} "${modules[@]}" /usr/share/zoneinfo/{UTC,Etc/UTC}
    find "/usr/share/postgresql/${version_folder##*/}" -type f
    libraries "$programs/postgres" "$programs/initdb" "$programs/psql" /bin/sh "${modules[@]}"
  } | awk '{ print $1 "=" $1 }'
}

# libraries FILE…: what the loader finds for them, and the loader itself.
libraries() {
  ldd "$@" | awk '$2 == "=>" { print $3 } $1 ~ /^\// && $2 ~ /^\(/ { print $1 }' | sort -u
}
