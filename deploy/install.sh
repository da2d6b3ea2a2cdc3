#!/usr/bin/env bash
# Installs the manager, the agent or the command line of a built checkout on this machine: program with its own Node,
# systemd unit, example configuration, documentation, and the script that restores when Holdfast is lost. Repeating it
# upgrades; configuration that exists is never touched.
#
#   sudo make install-manager      sudo make install-agent      sudo make install-cli      (DESTDIR=… for packages)
set -euo pipefail

usage="usage: deploy/install.sh manager|agent|cli"
part=${1:?$usage}
root=${DESTDIR:-}
here=$(cd "$(dirname "$0")/.." && pwd)
case $part in
  manager | agent) name=holdfast-$part ;;
  cli) name=holdfast ;;
  *) echo "$usage" >&2; exit 2 ;;
esac
cd "$here"
[ -e "apps/$part/dist/main.js" ] || { echo "apps/$part is not built: run make build first" >&2; exit 1; }

# A folder of its own with exactly what the program needs, put in place at once.
target=$root/usr/lib/$name
mkdir -p "$root/usr/lib"
rm -rf "$target.new"
pnpm --filter "@holdfast/$part" deploy --prod --legacy "$target.new" >"$here/.toolchain/deploy.log" 2>&1 || { cat "$here/.toolchain/deploy.log" >&2; exit 1; }
mkdir -p "$target.new/bin"
node=$(readlink -f "$here"/.toolchain/node_modules/node-linux-*/bin/node)
install -m 0755 "$node" "$target.new/bin/node"
options=$("$node" -p 'require(process.argv[1]).config.nodeOptions' "$here/apps/$part/package.json")
printf '#!/bin/sh\nexec /usr/lib/%s/bin/node %s /usr/lib/%s/dist/main.js "$@"\n' "$name" "$options" "$name" >"$target.new/bin/$name"
chmod 0755 "$target.new/bin/$name"
[ "$part" = cli ] || install -m 0755 deploy/holdfast-restore.sh "$target.new/bin/"
chmod -R go+rX "$target.new"
rm -rf "$target.old"
[ ! -e "$target" ] || mv "$target" "$target.old"
mv "$target.new" "$target"
rm -rf "$target.old"
mkdir -p "$root/usr/bin"
ln -sf "../lib/$name/bin/$name" "$root/usr/bin/$name"

[ "$part" = cli ] && { echo "installed /usr/bin/holdfast"; exit 0; }
# KVM hosts have what the script needs: there it is called by its name.
[ "$part" != agent ] || ln -sf "../lib/$name/bin/holdfast-restore.sh" "$root/usr/bin/holdfast-restore.sh"
doc=$root/usr/share/doc/$name
rm -rf "$doc"
find README.md ARCHITECTURE.md docs -name '*.md' -exec install -D -m 0644 {} "$doc/{}" \;
mkdir -p "$root/lib/systemd/system" "$root/etc/$name"
install -m 0644 "deploy/$name.service" "$root/lib/systemd/system/"
[ -e "$root/etc/$name/$part.yaml" ] || install -m 0640 "deploy/$part.example.yaml" "$root/etc/$name/$part.yaml"
if [ "$part" = manager ] && [ -z "$root" ]; then
  getent passwd holdfast >/dev/null || useradd --system --home-dir /var/lib/holdfast-manager --shell /usr/sbin/nologin holdfast
  chgrp holdfast "/etc/$name/$part.yaml"
fi
[ -n "$root" ] || ! command -v systemctl >/dev/null || systemctl daemon-reload || true
echo "installed $name: configuration in /etc/$name/$part.yaml, then: systemctl enable --now $name"
