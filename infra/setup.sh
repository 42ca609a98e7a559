#!/usr/bin/env bash
# Makes .venv (the project) and .venv-triton (the scoring server). Does nothing when both match the pinned files;
# an interrupted run is taken up where it stopped. PYTHON, TORCH_INDEX and EXTRAS may be set.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly extras=${EXTRAS:-pipelines,cpu,embedded,dev} needed_mb=6000
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

fail() { printf 'error: %s\nfix: %s\n' "$1" "$2" >&2; exit 2; }

is_311() { command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3 python; do
    if is_311 "$candidate"; then
      "$candidate" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$candidate cannot make virtual environments" "sudo apt-get install python3.11-venv"
      printf '%s' "$candidate"
      return
    fi
  done
  fail "Python 3.11 is not on the PATH" \
    "sudo apt-get install python3.11 python3.11-venv libpython3.11 (or name one: make setup PYTHON=/path/to/python3.11)"
}

# What an environment was made from: compared as a whole, so that a change of any of it installs again.
recipe() { printf '%s\n' "$PWD" "$extras" "${TORCH_INDEX:-}"; cat "$@"; }

is_current() { # ENVIRONMENT FILE…
  local env=$1; shift
  [ -f "$env/.recipe" ] && recipe "$@" | cmp -s - "$env/.recipe" && "$env/bin/python" -c '' 2>/dev/null
}

require_space() {
  local free_mb; free_mb=$(($(df -Pk . | awk 'NR==2 {print $4}') / 1024))
  [ "$free_mb" -ge "$needed_mb" ] || [ -x .venv/bin/python ] ||
    fail "only $free_mb MB free in $PWD, the packages need about $needed_mb MB" "free some space, or move the project to another disk"
}

prepare() { # ENVIRONMENT
  rm -f "$1/.recipe"
  # an environment that was moved, or whose Python is gone, cannot be repaired in place
  if [ -d "$1" ] && ! { "$1/bin/python" -c '' 2>/dev/null && grep -qF "$PWD/$1" "$1/bin/activate"; }; then rm -rf "$1"; fi
  [ -x "$1/bin/pip" ] || "$python" -m venv "$1"
}

install() { # ENVIRONMENT PIP-ARGUMENTS…
  local env=$1 bar=off; shift
  [ ! -t 1 ] || bar=on
  "$env/bin/python" -m pip install --progress-bar "$bar" ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} "$@" ||
    fail "pip could not install into $env" "check the network or the package index, then run \`make setup\` again: it goes on from here"
}

main() {
  local project=(pyproject.toml constraints.txt) server=(constraints-triton.txt)
  local project_ok=0 server_ok=0
  is_current .venv "${project[@]}" || project_ok=1
  is_current .venv-triton "${server[@]}" || server_ok=1
  [ $((project_ok + server_ok)) -gt 0 ] || return 0
  python=$(find_python)
  require_space
  if [ $project_ok -ne 0 ]; then
    echo "== .venv: the project and its packages (about 3 GB, a few minutes)"
    prepare .venv
    install .venv -c constraints.txt -e ".[$extras]"
    recipe "${project[@]}" >.venv/.recipe
  fi
  if [ $server_ok -ne 0 ]; then
    echo "== .venv-triton: the Triton server and its packages (about 0.5 GB)"
    prepare .venv-triton
    install .venv-triton -r constraints-triton.txt
    recipe "${server[@]}" >.venv-triton/.recipe
  fi
  echo "== setup done"
}

main
