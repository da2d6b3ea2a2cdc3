#!/bin/sh
# Holdfast's guard of VM starts, a libvirt hook (/etc/libvirt/hooks/qemu.d/holdfast), written by the agent of this host.
# It refuses to start a VM from a file that lies below the one with its newest data, because a start from there would
# destroy that data; and while Holdfast is changing which disks the VM has. It reads the definition that libvirt is about to
# start and files of the agent, never asks libvirt anything, needs no agent that runs, and allows whatever it cannot judge.
# To take it away for good: holdfast-agent hook remove.

[ "${2-}" = prepare ] && [ "${3-}" = begin ] || exit 0
state='@STATE@'
[ -d "$state" ] || exit 0
PATH=${PATH:-/usr/sbin:/usr/bin:/sbin:/bin}
LC_ALL=C
export PATH LC_ALL

# The UUID of the domain, then one line with the file of each disk that can be written.
facts=$(awk '
  function value(tag, name,   found) {
    if (!match(tag, "[ \t\r\n]" name "[ \t\r\n]*=[ \t\r\n]*(\047[^\047]*\047|\"[^\"]*\")")) return ""
    found = substr(tag, RSTART, RLENGTH)
    sub(/^[^\047"]*./, "", found)
    found = substr(found, 1, length(found) - 1)
    return plain(found)
  }
  function plain(text) {
    gsub(/&lt;/, "<", text); gsub(/&gt;/, ">", text); gsub(/&quot;/, "\"", text); gsub(/&apos;/, "\047", text)
    gsub(/&amp;/, "\\&", text)
    return text
  }
  function entered(tag, text) {
    if (path == "/domain/uuid") { gsub(/[ \t\r\n]/, "", text); uuid = tolower(text) }
    else if (path == "/domain/devices/disk") { file = ""; writable = 1 }
    else if (path == "/domain/devices/disk/source") file = value(tag, "file")
    else if (path == "/domain/devices/disk/readonly") writable = 0
  }
  function left() {
    if (path == "/domain/devices/disk" && file != "" && writable && file !~ /[\t\r\n]/) files = files file "\n"
    sub(/\/[^\/]*$/, "", path)
  }
  BEGIN { RS = "<" }
  skip != "" { if (index($0, skip)) skip = ""; next }
  /^!--/ { if (!index($0, "-->")) skip = "-->"; next }
  /^!\[CDATA\[/ { if (!index($0, "]]>")) skip = "]]>"; next }
  /^[?!]/ { next }
  {
    end = index($0, ">")
    if (!end) next
    tag = substr($0, 1, end - 1)
    if (tag ~ /^\//) { left(); next }
    name = tag
    sub(/[ \t\r\n\/].*$/, "", name)
    path = path "/" name
    entered(tag, substr($0, end + 1))
    if (tag ~ /\/$/) left()
  }
  END { print uuid; printf "%s", files }
') || exit 0

uuid=${facts%%
*}
case $uuid in
  *[!0-9a-f-]* | '') exit 0 ;;
esac

if [ -r "$state/$uuid.switching" ]; then
  {
    sed 1d "$state/$uuid.switching"
    printf '%s\n' "If Holdfast is gone for good, look at the definition, remove $state/$uuid.switching and start again."
  } >&2
  exit 1
fi

tab=$(printf '\t')
# What the manager told of the VM while it was on another host ends when the VM runs here: while it is there, it is the newer.
for known in "$state/$uuid.elsewhere" "$state/$uuid"; do
  [ -r "$known" ] || continue
  record=$(cat "$known" 2>/dev/null) || continue
  [ "${record%%
*}" = 'holdfast-start-guard 1' ] || continue

  first=yes
  while IFS= read -r file; do
    [ "$first" = yes ] && { first=no; continue; }
    [ -n "$file" ] || continue
    while IFS=$tab read -r kind stale right; do
      [ "$kind" = layer ] && [ -n "$right" ] || continue
      [ "$file" = "$stale" ] || [ "$file" -ef "$stale" ] 2>/dev/null || continue
      [ -e "$right" ] || continue
      {
        printf '%s\n' "Holdfast refuses this start: the disk $file of the VM is stale, its newest data is in $right, and a start from $file would destroy that data."
        printf '%s\n' "Point the disk at $right with format qcow2 (virsh edit ${1:-$uuid}), then start again. If that file is worthless, move it away first."
      } >&2
      exit 1
    done <<RECORD
$record
RECORD
  done <<FACTS
$facts
FACTS
done
exit 0
