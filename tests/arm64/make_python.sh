#!/bin/sh
# Unpack Debian's arm64 Python 3.11 into a folder, to run it with qemu-user:
#
#     tests/arm64/make_python.sh FOLDER
#     qemu-aarch64-static -L FOLDER FOLDER/usr/bin/python3.11 -c 'import ssl, sqlite3'
#
# It needs apt and the machine's own Debian (or Ubuntu) sources. Nothing is installed, and
# neither the list of architectures nor the package database of this machine is changed: apt
# gets a state of its own inside FOLDER, which is removed at the end. VERSION chooses another
# Python that the distribution has.
set -eu

folder=${1:?"usage: $0 FOLDER"}
version=${VERSION:-3.11}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
if [ -x "$folder/usr/bin/python$version" ]; then
    exit 0
fi

work=$(mktemp -d "$folder/.apt-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
mkdir -p "$work/lists/partial" "$work/archives/partial"
: > "$work/status"

run_apt() {
    apt-get --quiet=2 --yes \
        -o APT::Architecture=arm64 \
        -o APT::Architectures=arm64 \
        -o APT::Sandbox::User=root \
        -o APT::Install-Recommends=false \
        -o Dir::State="$work" \
        -o Dir::State::lists="$work/lists" \
        -o Dir::State::status="$work/status" \
        -o Dir::Cache="$work" \
        -o Dir::Cache::archives="$work/archives" \
        -o Debug::NoLocking=true \
        -o Acquire::Languages=none \
        "$@"
}

run_apt update
# With an empty package database, apt downloads everything that Python needs, glibc included.
# The C++ library is what many wheels ask for.
run_apt install --download-only "python$version" "libpython$version-stdlib" libstdc++6 >/dev/null
for package in "$work"/archives/*.deb; do
    dpkg-deb --extract "$package" "$folder"
done

# Absolute links would lead out of FOLDER when qemu does not translate them.
find "$folder" -type l -lname '/*' | while read -r link; do
    target=$(readlink "$link")
    ln -sfn "$folder$target" "$link"
done
