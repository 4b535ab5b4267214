#!/usr/bin/env bash
# Make a virtual environment with the first Python that is new enough.
#
#     scripts/environment.sh .venv        PYTHON=/path/to/python chooses another one
set -euo pipefail

readonly TARGET=$1
readonly HERE=$(dirname "${BASH_SOURCE[0]}")
readonly CANDIDATES="${PYTHON:-} python3.11 python3.12 python3.13 python3 python"

runs() { # PYTHON CODE
    command -v "$1" >/dev/null && "$1" -c "$2" >/dev/null 2>&1
}

find_python() { # CODE: a check beside the version
    local candidate
    for candidate in $CANDIDATES; do
        if runs "$candidate" "import sys; assert sys.version_info >= (3, 11); $1"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

main() {
    local python version
    if [[ -x $TARGET/bin/python ]] && "$TARGET/bin/python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    if ! python=$(find_python "import ensurepip, venv"); then
        if ! python=$(find_python "pass"); then
            echo "error: no Python >= 3.11 found: install one, or name it with PYTHON=..." >&2
            exit 1
        fi
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        "$HERE/system.sh" "package:python$version-venv" # Debian keeps ensurepip apart
    fi
    echo "Making $TARGET with $("$python" --version)" >&2
    "$python" -m venv "$TARGET"
}

main
