/**
 * The domain XML of a test VM. A pure function from a description to text; every value is escaped.
 */
import { controlPort, guestCommandLine } from './guest-init.js';
import type { GuestImage } from './guest-image.js';

/** Slots for the devices that a VM has and for disks that it gets while it runs. */
const SLOTS = 12;

export interface DomainDisk {
  target: string;
  file: string;
  format: 'qcow2' | 'raw';
}

export interface DomainDescription {
  name: string;
  uuid: string;
  memoryMiB: number;
  agent: boolean;
  image: GuestImage;
  disks: readonly DomainDisk[];
}

/** Renders the definition of a test VM: q35, TCG, one CPU, VNC screen, guest agent and control channel. */
export function domainXml(vm: DomainDescription): string {
  const commandLine = vm.agent ? guestCommandLine : `${guestCommandLine} holdfast.noagent`;
  const disks = vm.disks.map(
    (disk) => `    <disk type='file' device='disk'>
      <driver name='qemu' type='${disk.format}' discard='unmap'/>
      <source file='${escapeXml(disk.file)}'/>
      <target dev='${disk.target}' bus='virtio'/>
    </disk>`,
  );
  const ports = Array.from(
    { length: SLOTS },
    (_unused, at) => `    <controller type='pci' index='${at + 1}' model='pcie-root-port'/>`,
  );
  // A VM without an agent has no channel for one either, as with real guests that never had it.
  const channels = vm.agent ? ['org.qemu.guest_agent.0', controlPort] : [controlPort];
  return `<domain type='qemu'>
  <name>${escapeXml(vm.name)}</name>
  <uuid>${vm.uuid}</uuid>
  <memory unit='MiB'>${vm.memoryMiB}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>${escapeXml(vm.image.kernel)}</kernel>
    <initrd>${escapeXml(vm.image.initramfs)}</initrd>
    <cmdline>${escapeXml(commandLine)}</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='maximum'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
${disks.join('\n')}
    <controller type='usb' model='none'/>
${ports.join('\n')}
${channels.map((name) => `    <channel type='unix'><target type='virtio' name='${name}'/></channel>`).join('\n')}
    <serial type='file'><source path='/var/log/libvirt/serial-${vm.uuid}.log'/><target port='0'/></serial>
    <graphics type='vnc'><listen type='socket'/></graphics>
    <video><model type='vga' vram='16384' heads='1'/></video>
  </devices>
</domain>
`;
}

/** Escapes text for use in XML content and in quoted attributes, line ends and tabs included. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>'"\n\r\t]/g, (char) => `&#${char.codePointAt(0)};`);
}
