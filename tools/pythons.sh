#!/bin/sh
# Prints the Pythons that can run the tests, one a line: version and path, each version once.
#
#   pythons.sh [NAME]
#
# With NAME, only those that are called so (python3.13) or are there (/usr/bin/python3). They are
# looked for on PATH, where pyenv keeps them, and where Debian has its own. One without the venv
# module is left out.

set -u

candidates() {
    case $1 in
    */*) echo "$1" ;;
    *)
        command -v "$1"
        ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/"$1" 2>/dev/null
        ;;
    esac
}

# pyenv leaves programs on PATH that only say which versions it has: each candidate has to run.
described() {
    "$1" -c '
import ensurepip, platform, sys, venv
assert sys.version_info >= (3, 11)
print(platform.python_version(), sys.executable)
' 2>/dev/null
}

for name in "${1:-python3.11}" ${1:-python3.12 python3.13 /usr/bin/python3}; do
    candidates "$name"
done | while read -r candidate; do
    described "$candidate"
done | awk '!seen[$1]++'
