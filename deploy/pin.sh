#!/bin/sh
# Writes the digest that a tag means today beside it, wherever the files for clusters name the image:
#   sh deploy/pin.sh                               the base image, in cluster.yaml and deploy/Dockerfile
#   sh deploy/pin.sh REGISTRY/uss-ray:0.1.0        the image of the pods, once it is pushed, in deploy/rayjob.yaml and deploy/rayservice.yaml
# A digest is the registry's own and asked of it, so none stands in the files as they come. Run again, it looks again.
set -eu
cd "$(dirname "$0")/.."
digest() {
    docker pull --quiet "$1" > /dev/null
    found=$(docker inspect --format '{{index .RepoDigests 0}}' "$1")
    case $found in
        *@sha256:*) echo "$1@${found##*@}" ;;
        *) echo "error: $1: expected a digest, found '$found'" >&2; exit 1 ;;
    esac
}
if [ $# -eq 0 ]; then
    base=$(sed -n 's|^ARG BASE=\([^@]*\).*|\1|p' deploy/Dockerfile)
    pinned=$(digest "$base")
    sed -i "s|^ARG BASE=.*|ARG BASE=$pinned|" deploy/Dockerfile
    sed -i "s|^  image: .*|  image: $pinned|" cluster.yaml
else
    pinned=$(digest "$1")
    sed -i "s|image: &image .*|image: \&image $pinned|" deploy/rayjob.yaml deploy/rayservice.yaml
fi
echo "$pinned"
