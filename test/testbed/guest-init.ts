/**
 * The scripts inside the test guest's initramfs: its init, its shutdown, its console.
 * Owns what the guest does after boot; knows nothing of hosts.
 */

/** Kernel modules the guest loads; their dependencies are added when the image is built. */
export const guestModules = ['virtio_pci', 'virtio_blk', 'virtio_console', 'button', 'evdev'];

/** Kernel command line of a test guest. Add `holdfast.noagent` for a guest without a guest agent. */
export const guestCommandLine = [
  'console=tty0 console=ttyS0 quiet loglevel=3 mitigations=off nokaslr tsc=reliable',
  // What an emulated CPU spends a fifth of the boot on, and no test looks at.
  'cryptomgr.notests audit=0 apparmor=0 8250.nr_uarts=1 nowatchdog no_timer_check',
].join(' ');

/** What the guest writes to its consoles when it has booted. */
export const guestReadyLine = 'HOLDFAST GUEST READY';

/** Name of the virtio-serial port with the guest's control shell, which works while the agent hangs or sleeps. */
export const controlPort = 'org.holdfast.test.control';

/** Files of the initramfs: path to script. All are made executable. */
export const guestScripts: Record<string, string> = {
  init: `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /mnt /etc /root /var/run /usr/bin /usr/sbin
/bin/busybox --install -s
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
ln -sf /proc/mounts /etc/mtab
hostname guest
for module in ${guestModules.join(' ')}; do modprobe "$module"; done

# A disk without an ext4 file system is left alone.
for disk in /dev/vd?; do
  [ -b "$disk" ] || continue
  name="\${disk##*/}"
  mkdir -p "/mnt/$name"
  mount -t ext4 "$disk" "/mnt/$name" 2>/dev/null || rmdir "/mnt/$name"
done

mkdir -p /dev/virtio-ports
for port in /sys/class/virtio-ports/*; do
  [ -e "$port/name" ] && ln -sf "/dev/\${port##*/}" "/dev/virtio-ports/$(cat "$port/name")"
done

mkdir -p /etc/acpi/PWRF
printf '#!/bin/sh\\nexec /sbin/shutdown -P\\n' > /etc/acpi/PWRF/00000080
chmod 755 /etc/acpi/PWRF/00000080
acpid -c /etc/acpi -l /dev/null

control=/dev/virtio-ports/${controlPort}
[ -e "$control" ] && setsid /control-shell "$control" &

case " $(cat /proc/cmdline) " in
  *' holdfast.noagent '*) ;;
  *) setsid /start-agent & ;;
esac

for console in /dev/ttyS0 /dev/tty0; do echo '${guestReadyLine}' > "$console"; done
while :; do sleep 3600 & wait $!; done
`,
  'start-agent': `#!/bin/sh
exec /usr/sbin/qemu-ga -m virtio-serial -p /dev/virtio-ports/org.qemu.guest_agent.0 -t /run -f /run/qemu-ga.pid >/run/qemu-ga.log 2>&1
`,
  // Each line from the host is one base64 script; the answer is one line of exit code and base64 output.
  'control-shell': `#!/bin/sh
exec 3<>"$1"
while :; do
  if ! read -r line <&3; then sleep 0.2; continue; fi
  printf '%s' "$line" | base64 -d > /tmp/control.sh
  sh /tmp/control.sh > /tmp/control.out 2>&1 < /dev/null
  status=$?
  printf '%s %s\\n' "$status" "$(base64 /tmp/control.out | tr -d '\\n')" >&3
done
`,
  'sbin/shutdown': `#!/bin/sh
# Called by the guest agent and by the power button.
action=poweroff
for word in "$@"; do [ "$word" = -r ] && action=reboot; done
(
  sync
  for mounted in /mnt/*; do umount "$mounted" 2>/dev/null; done
  sync
  exec busybox "$action" -f
) >/dev/null 2>&1 &
`,
};
