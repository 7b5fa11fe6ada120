#!/bin/bash
# Makes $VENV with the package and its development tools in it. As root on Debian it also installs the
# packages that the machine lacks; without root it says what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${PYTHON:=python3}" "${VENV:=.venv}"

missing=()
command -v ip >/dev/null || missing+=(iproute2)
command -v ping >/dev/null || missing+=(iputils-ping)
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || missing+=(python3)
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"
    elif [[ " ${missing[*]} " == *" python3"* ]]; then
        echo "setup: this needs Debian's ${missing[*]}, and installing them needs root: apt-get install ${missing[*]}" >&2
        exit 1
    else
        echo "setup: not installed, for that needs root: ${missing[*]} (the demo then runs on simulated machines)" >&2
    fi
fi
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -e '.[dev]'
# Byte code beside the sources, whatever PYTHONDONTWRITEBYTECODE says: without it every tool compiles at each start.
"$VENV/bin/python" -m compileall -q src
touch "$VENV/.ready"
