#!/bin/bash
# Builds the image with buildah, which needs no daemon.
#
# usage: tools/image/build.sh NAME [DIRECTORY]
set -euo pipefail

export BUILDAH_ISOLATION=chroot
tools=$(cd "$(dirname "$0")" && pwd)
name=$1
directory=${2:-$tools/../..}

# Where this machine installs packages from, the build does too; none of it gets into the image.
mounts=()
if [ -f /etc/pip.conf ]; then
    mounts+=(--volume /etc/pip.conf:/etc/pip.conf:ro)
fi

"$tools/base_image.sh"
# Without the Docker format there is no health check.
buildah bud --pull-never --format docker --network host "${mounts[@]}" \
    --tag "$name" "$directory"
