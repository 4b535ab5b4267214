#!/usr/bin/env bash
# Make sure that a Debian or Ubuntu system has what the given parts need; install only
# what is missing.
#
#     scripts/system.sh qt      libraries of PySide6's xcb platform and software OpenGL
#     scripts/system.sh xvfb    a virtual display
set -euo pipefail

# What the dynamic linker must find, and the package that holds it.
readonly QT_LIBRARIES="
libGL.so.1 libgl1
libGLX_mesa.so.0 libglx-mesa0
libEGL.so.1 libegl1
libX11-xcb.so.1 libx11-xcb1
libdbus-1.so.3 libdbus-1-3
libfontconfig.so.1 libfontconfig1
libglib-2.0.so.0 libglib2.0-0
libxcb-cursor.so.0 libxcb-cursor0
libxcb-icccm.so.4 libxcb-icccm4
libxcb-image.so.0 libxcb-image0
libxcb-keysyms.so.1 libxcb-keysyms1
libxcb-randr.so.0 libxcb-randr0
libxcb-render-util.so.0 libxcb-render-util0
libxcb-shape.so.0 libxcb-shape0
libxcb-sync.so.1 libxcb-sync1
libxcb-xfixes.so.0 libxcb-xfixes0
libxcb-xkb.so.1 libxcb-xkb1
libxkbcommon-x11.so.0 libxkbcommon-x11-0
libxkbcommon.so.0 libxkbcommon0
"

missing_libraries() {
    local known library package
    known=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p)
    while read -r library package; do
        if [[ -n $library && $known != *"$library "* ]]; then echo "$package"; fi
    done <<<"$QT_LIBRARIES"
}

missing_commands() {
    command -v xvfb-run >/dev/null || echo xvfb
    command -v xauth >/dev/null || echo xauth
}

# apt-get waits for the lock of installing by itself, but not for the one of its lists.
update_lists() { # COMMAND... to be root
    local said
    for _ in {1..60}; do
        if said=$("$@" apt-get update -q 2>&1); then return; fi
        [[ $said == */lists/lock* ]] || break
        sleep 5
    done
    echo "$said" >&2
    return 1
}

install() {
    local -a root=()
    if ! command -v apt-get >/dev/null; then
        echo "error: missing: $*; install what this system calls these Debian packages" >&2
        exit 1
    fi
    if [[ $(id -u) != 0 ]]; then
        if ! command -v sudo >/dev/null; then
            echo "error: missing: $*; run as root: apt-get install $*" >&2
            exit 1
        fi
        root=(sudo)
    fi
    echo "Installing missing system packages: $*" >&2
    update_lists "${root[@]}"
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" >&2
}

main() {
    [[ $(uname -s) == Linux ]] || return 0
    local -a wanted=()
    local part
    for part in "$@"; do
        case $part in
        qt) mapfile -t -O "${#wanted[@]}" wanted < <(missing_libraries) ;;
        xvfb) mapfile -t -O "${#wanted[@]}" wanted < <(missing_commands) ;;
        package:*) wanted+=("${part#package:}") ;;
        *)
            echo "error: unknown part '$part': qt, xvfb or package:NAME" >&2
            exit 2
            ;;
        esac
    done
    if ((${#wanted[@]})); then install "${wanted[@]}"; fi
}

main "$@"
