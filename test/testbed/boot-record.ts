/**
 * When a test host booted, as libvirt reads it. Owns that one record of utmp and nothing else.
 *
 * libvirt notes on a disk's file who owned it before, together with the time its host booted, and does not believe a note of
 * another boot. Without a record it works the time out of the clock, to a whole second: two hosts of one machine then differ
 * now and then, and the one that a VM is migrated away from gives the files to root while the other's QEMU has them open. (Shared
 * storage of real hosts has no such notes.) So all test hosts have booted at the same time.
 */
const BOOT_TIME = 2;
const RECORD_BYTES = 384;
const SECONDS_AT = 340;
/** Any time that is not 0; what counts is that it is the same one. */
const BOOTED_AT = 1_000_000_000;

/** The content of /run/utmp (glibc's struct utmpx on 64 bit). */
export function bootRecord(): Buffer {
  const record = Buffer.alloc(RECORD_BYTES);
  record.writeInt16LE(BOOT_TIME, 0);
  record.write('~', 8);
  record.write('~~', 40);
  record.write('reboot', 44);
  record.writeInt32LE(BOOTED_AT, SECONDS_AT);
  return record;
}
