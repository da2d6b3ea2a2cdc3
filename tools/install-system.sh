#!/usr/bin/env bash
# Installs the Debian packages that Holdfast's tools, tests and demo need, and only those that are missing.
# Owns nothing else: no service is started, no configuration is changed. Safe to repeat.
set -euo pipefail

packages=(
  qemu-system-x86 qemu-utils qemu-block-extra          # QEMU, qemu-img, qemu-storage-daemon
  libvirt-daemon libvirt-daemon-driver-qemu libvirt-daemon-system libvirt-clients
  qemu-guest-agent busybox-static cpio kmod            # parts of the test guest
  swtpm swtpm-tools                                    # without them libvirt refuses a VM with a TPM
  b3sum postgresql-15 e2fsprogs util-linux mount procps openssl ca-certificates
)
[ "${1:-}" = "--bench" ] && packages+=(virtnbdbackup) # only `make bench` compares against it

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "Holdfast needs these Debian packages: ${missing[*]}. Run this as root, or install them first." >&2
  exit 1
fi
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
# A machine's own services must not start because of a test bed: policy-rc.d refuses them while we install.
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  echo "installing packages failed; the lines above are the end of $log" >&2
  exit 1
fi
rm -f "$log"
