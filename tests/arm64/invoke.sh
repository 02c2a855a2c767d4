#!/bin/sh
# Build fixtures/projects/quickstart for python3.11 on arm64, and run it on another processor:
#
#     tests/arm64/invoke.sh FOLDER
#
# FOLDER gets Debian's arm64 Python (make_python.sh) and the built zip. It needs qemu-user-static,
# a package index, and `lambda-build` on PATH or in LAMBDA_BUILD.
set -eu

folder=${1:?"usage: $0 FOLDER"}
here=$(cd "$(dirname "$0")" && pwd)
"$here/make_python.sh" "$folder"
folder=$(cd "$folder" && pwd)

rm -rf "$folder/quickstart"
cp -R "$here/../../fixtures/projects/quickstart" "$folder/quickstart"
"${LAMBDA_BUILD:-lambda-build}" invoke "$folder/quickstart" \
    --runtime python3.11 --arch arm64 \
    --python "$folder/usr/bin/python3.11" --qemu-sysroot "$folder" \
    --timeout 300 --memory 512 |
    tee /dev/stderr | grep -q '"machine": "aarch64"'
