#!/bin/bash
# Makes a stand-in for the Dockerfile's default base image, where no registry can be reached.
#
# usage: tools/image/base_image.sh
#
# The image is kept in buildah's own storage, so it is made once. DEBIAN_MIRROR names another mirror.
set -euo pipefail

readonly NAME=docker.io/library/python:3.11-slim-bookworm
readonly PACKAGES=ca-certificates,python3,python3-venv
readonly CERTIFICATES=/etc/ssl/certs/ca-certificates.crt
readonly STALE_PATHS=(var/cache/apt/archives var/lib/apt/lists usr/share/doc usr/share/locale
    usr/share/man var/log)

make_root() {
    debootstrap --variant=minbase --include="$PACKAGES" bookworm "$1" \
        "${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
    # As in the official image: python and pip in /usr/local, where pip can uninstall itself.
    chroot "$1" python3 -m venv /usr/local
    # Whoever signs for the package index on this machine is trusted in the build as well.
    if [ -f "$CERTIFICATES" ]; then
        cp "$CERTIFICATES" "$1$CERTIFICATES"
    fi
    local path
    for path in "${STALE_PATHS[@]}"; do
        find "$1/$path" -mindepth 1 -delete
    done
}

commit() {
    local container
    container=$(buildah from scratch)
    buildah copy --quiet "$container" "$1" / >/dev/null
    buildah config --cmd python3 \
        --env PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
        --env LANG=C.UTF-8 "$container"
    buildah commit --quiet --rm "$container" "$NAME" >/dev/null
}

if buildah inspect --type image "$NAME" >/dev/null 2>&1; then
    exit 0
fi
scratch=$(mktemp --directory)
trap 'rm --recursive --force --one-file-system "$scratch"' EXIT
echo "No $NAME here: making a stand-in for it with debootstrap"
make_root "$scratch/root" >"$scratch/log" 2>&1 || { tail --lines=50 "$scratch/log" >&2; exit 1; }
commit "$scratch/root"
