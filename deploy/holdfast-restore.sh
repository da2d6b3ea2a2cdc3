#!/bin/sh
# Restores a backup when Holdfast is gone. Needs qemu-img; with b3sum it also proves that no file is damaged.
#
#   holdfast-restore.sh STORAGE_ROOT BACKUP_FOLDER DESTINATION
#   holdfast-restore.sh STORAGE_ROOT VM_UUID BACKUP_ID DESTINATION
#
# STORAGE_ROOT is where the storage is mounted (holdfast.json is in it), BACKUP_FOLDER is absolute or relative to it:
# backups/<vm uuid>/<backup id>. Every volume comes out as one flat DESTINATION/<device>.qcow2 that needs nothing else,
# beside it domain.xml with its disks pointing there, and nvram.fd where the VM has one. Nothing on the storage is
# changed; no file in DESTINATION is overwritten. ACCEPT_DAMAGED=1 goes on although a file's digest is wrong.
set -eu
LC_ALL=C
export LC_ALL

fail() {
  printf 'holdfast-restore: %s\n' "$*" >&2
  exit 1
}

[ $# -eq 3 ] || [ $# -eq 4 ] || {
  sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
  exit 2
}
root=$1
if [ $# -eq 4 ]; then
  folder=$root/backups/$2/$3
  destination=$4
else
  case $2 in /*) folder=$2 ;; *) folder=$root/$2 ;; esac
  destination=$3
fi
[ -f "$root/holdfast.json" ] || fail "$root is no Holdfast storage: it has no holdfast.json. Is it mounted?"
[ -d "$folder" ] || fail "there is no folder $folder. See: ls $root/backups/*"
[ -f "$folder/manifest.json" ] || fail "$folder has no manifest.json: this backup was never finished, so it does not exist"
! tr -d '\n\t ' <"$folder/manifest.json" | grep -q '"compaction":{"role":"absorbed"' ||
  fail "$folder was deleted and is being merged into the backup that its manifest names under \"compaction\": restore that one"
command -v qemu-img >/dev/null || fail "qemu-img is missing. Install it (Debian: qemu-utils)"
verify=b3sum
command -v b3sum >/dev/null || {
  verify=
  printf 'b3sum is not installed: the digests of the files are NOT checked.\n' >&2
}

# One line per volume of a manifest: DEVICE FILE DIGEST PARENT_FILE (or -). All four are made by Holdfast and hold no
# blanks, quotes or brackets; a quote inside any other text is written \" in JSON and so never matches.
volumes_of() {
  tr -d '\n\t' <"$1" | sed -n 's/.*"volumes" *: *\[\([^]]*\)\].*/\1/p' | tr '}' '\n' | while IFS= read -r object; do
    file=$(field file "$object")
    [ -n "$file" ] || continue
    parent=$(field parentFile "$object")
    printf '%s %s %s %s\n' "$(field device "$object")" "$file" "$(field digest "$object")" "${parent:--}"
  done
}

field() {
  printf '%s\n' "$2" | sed -n "s/.*\"$1\" *: *\"\\([^\"]*\\)\".*/\\1/p"
}

# True when the oldest backup of a chain is being merged with this one: its content is right at every instant, but its
# digests, sizes and backing names are those of before until that is finished.
merging() {
  tr -d '\n\t ' <"$1/manifest.json" | grep -q '"compaction":{"role":"'
}

# Checks one file and everything it is based on, by the manifest of each folder.
check_chain() {
  dir=$1 name=$2
  while :; do
    [ -f "$dir/manifest.json" ] || fail "$dir has no manifest.json, and $name is needed from there"
    line=$(volumes_of "$dir/manifest.json" | awk -v file="$name" '$2 == file')
    [ -n "$line" ] || fail "the manifest of $dir does not know $name"
    [ -f "$dir/$name" ] || fail "$dir/$name is missing"
    digest=$(printf '%s\n' "$line" | cut -d ' ' -f 3)
    parent=$(printf '%s\n' "$line" | cut -d ' ' -f 4)
    if [ -n "$verify" ]; then
      found=blake3:$(b3sum --no-names <"$dir/$name" | cut -d ' ' -f 1)
      if [ "$found" = "$digest" ]; then
        printf '  %s/%s: digest is right\n' "$dir" "$name"
      elif merging "$dir"; then
        printf '  %s/%s: is being merged, so its digest cannot be compared\n' "$dir" "$name" >&2
      elif [ "${ACCEPT_DAMAGED:-}" = 1 ]; then
        printf '  %s/%s: DAMAGED (digest %s, expected %s), used all the same\n' "$dir" "$name" "$found" "$digest" >&2
      else
        fail "$dir/$name is damaged: its digest is $found, the manifest says $digest. ACCEPT_DAMAGED=1 uses it all the same"
      fi
    fi
    # A backing name that the manifest does not give would lead out of the storage. In JSON the name is whole, whatever is in it.
    backing=$(qemu-img info -f qcow2 --output=json "$dir/$name" | sed -n 's/^ *"backing-filename": "\(.*\)",\{0,1\}$/\1/p')
    if [ -z "$backing" ] && merging "$dir"; then return 0; fi
    [ "${backing:--}" = "$parent" ] || fail "$dir/$name names the backing file ${backing:-none}, the manifest says $parent"
    [ "$parent" != - ] || return 0
    dir=$dir/${parent%/*}
    name=${parent##*/}
  done
}

mkdir -p "$destination"
destination=$(cd "$destination" && pwd)
folder=$(cd "$folder" && pwd)
list=$(volumes_of "$folder/manifest.json")
[ -n "$list" ] || fail "the manifest of $folder holds no volumes"
printf 'Restoring %s to %s\n' "$folder" "$destination"

printf '%s\n' "$list" | while read -r device file _digest _parent; do
  [ ! -e "$destination/$device.qcow2" ] || fail "$destination/$device.qcow2 exists already; nothing is overwritten"
  check_chain "$folder" "$file"
done
printf '%s\n' "$list" | while read -r device file _digest _parent; do
  rm -f "$destination/$device.qcow2.partial"
  qemu-img convert -f qcow2 -O qcow2 "$folder/$file" "$destination/$device.qcow2.partial"
  qemu-img check -q -f qcow2 "$destination/$device.qcow2.partial"
  sync "$destination/$device.qcow2.partial"
  mv "$destination/$device.qcow2.partial" "$destination/$device.qcow2"
  printf '  %s.qcow2 is restored\n' "$device"
done

# The definition, each restored disk pointing to its new file: flat, so what is said about layers below goes.
HOLDFAST_DEVICES=$(printf '%s\n' "$list" | cut -d ' ' -f 1)
HOLDFAST_DESTINATION=$destination
export HOLDFAST_DEVICES HOLDFAST_DESTINATION
awk '
  BEGIN {
    split(ENVIRON["HOLDFAST_DEVICES"], names, "\n"); for (i in names) restored[names[i]] = 1
    path = ENVIRON["HOLDFAST_DESTINATION"]
    gsub(/&/, "\\&amp;", path); gsub(/</, "\\&lt;", path); gsub(/\047/, "\\&apos;", path)
  }
  function flush(  device, i, line, depth, done, at, rest, quoted) {
    for (i = 1; i <= count; i++) if (match(buffer[i], /<target dev=["\047][^"\047]*/)) device = substr(buffer[i], RSTART + 13, RLENGTH - 13)
    for (i = 1; i <= count; i++) {
      line = buffer[i]
      if (device in restored) {
        if (line ~ /<backingStore/) { if (line !~ /\/>/) depth++; continue }
        if (line ~ /<\/backingStore>/) { depth--; continue }
        if (depth > 0) continue
        if (line ~ /<driver / ) sub(/type=["\047][^"\047]*["\047]/, "type=\047qcow2\047", line)
        if (!done && match(line, /<source file=/)) {
          at = RSTART + RLENGTH; rest = substr(line, at + 1); quoted = substr(line, at, 1)
          line = substr(line, 1, at - 1) "\047" path "/" device ".qcow2\047" substr(rest, index(rest, quoted) + 1); done = 1
        }
      }
      print line
    }
    count = 0
  }
  /<disk[ >]/ { inside = 1 }
  inside { buffer[++count] = $0; if (/<\/disk>/) { flush(); inside = 0 } ; next }
  { print }
' "$folder/domain.xml" >"$destination/domain.xml"
[ ! -f "$folder/nvram.fd" ] || cp "$folder/nvram.fd" "$destination/nvram.fd"

quoted() {
  printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"
}
cat <<END

The content is restored. To run it on this host, look at the definition, then give it to libvirt:
  virsh define $(quoted "$destination/domain.xml")
  virsh start $(sed -n 's:.*<uuid>\([^<]*\)</uuid>.*:\1:p' "$folder/domain.xml" | head -n 1)
A host that still has this VM must have its disks free first (virsh domstate), and its old files stay where they are.
END
[ ! -f "$destination/nvram.fd" ] || printf 'Copy %s/nvram.fd to where <nvram> in domain.xml says before the start.\n' "$destination"
