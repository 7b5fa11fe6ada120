#!/bin/bash
# Makes $VENV with the package and its development tools in it; `tools/setup.sh test` also looks for what the
# tests use. As root on Debian it installs the packages that the machine lacks; without root it says which.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${PYTHON:=python3}" "${VENV:=.venv}"

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need ip iproute2
need ping iputils-ping
if [ "${1:-}" = test ]; then
    for tool in ethtool iperf3 openssl tcpdump; do need "$tool" "$tool"; done
else
    command -v "$PYTHON" >/dev/null || missing+=(python3)
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
fi
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"
    elif [[ " ${missing[*]} " == *" python3"* ]]; then
        echo "setup: missing, and installing needs root: apt-get install ${missing[*]}" >&2
        exit 1
    else
        echo "setup: missing, and installing needs root: ${missing[*]} (what needs them is skipped)" >&2
    fi
fi
if [ "${1:-}" = test ]; then
    # The applications that os-ken shipped up to 1.0: controllers that are not ours, for the tests.
    applications="$VENV/share/os-ken-applications"
    if [ ! -d "$applications" ]; then
        scratch=$(mktemp -d)
        if "$VENV/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$scratch" \
            'os-ken==1.0.0'; then
            "$VENV/bin/python" - "$scratch"/*.whl "$applications" <<'EOF'
import pathlib, sys, zipfile
wheel, target = zipfile.ZipFile(sys.argv[1]), pathlib.Path(sys.argv[2])
target.mkdir(parents=True)
for name in wheel.namelist():
    if name.startswith("os_ken/app/simple_") and name.count("/") == 2:
        (target / name.rpartition("/")[2]).write_bytes(wheel.read(name))
EOF
        else
            echo "setup: os-ken 1.0.0 cannot be had; the tests of its applications are skipped" >&2
        fi
        rm -r "$scratch"
    fi
    exit 0
fi

if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "setup: Trunkline needs Python 3.11 or newer, and $PYTHON is $("$PYTHON" -V); say make PYTHON=..." >&2
    exit 1
fi
# The first directory on the way to a file that others may not enter; nothing if they reach it.
barred() {
    local path
    path=$(readlink -f "$1")
    while path=$(dirname "$path"); [ "$path" != / ]; do
        [ $((0$(stat -c %a "$path") & 1)) = 1 ] || { echo "$path"; return; }
    done
}
interpreter=$("$PYTHON" -c 'import sys; print(sys.executable)')
if [ "$(id -u)" = 0 ]; then
    for file in "$interpreter" "$PWD/Makefile"; do
        if [ -n "$(barred "$file")" ]; then
            echo "setup: users other than root cannot run what is set up here, for they may not enter" \
                "$(barred "$file") ($file); a python that all reach: make setup PYTHON=/usr/bin/python3" >&2
            break
        fi
    done
fi
# A set-up that was interrupted leaves half an environment: begin again.
"$VENV/bin/python" -m pip --version >/dev/null 2>&1 || "$PYTHON" -m venv --clear "$VENV"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -e '.[dev]'
# Byte code beside the sources, whatever PYTHONDONTWRITEBYTECODE says: without it every tool compiles at each start.
"$VENV/bin/python" -m compileall -q src
touch "$VENV/.ready"
