/** What the manager tells of VMs on other hosts, from the wire to our own types; each field that comes in is checked. */
import type * as wire from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import { z } from 'zod';
import type { VmElsewhere } from '../start-guard/guard-elsewhere.js';
import { check, path, vmUuid } from './wire-requests.js';

const paths = z.array(path);
const guardStarts = z.object({
  vms: z.array(
    z.object({
      vmUuid,
      fencingToken: z.bigint().nonnegative(),
      volumes: z.array(z.object({ layers: paths, planned: paths, certain: z.boolean() })),
    }),
  ),
});

export function vmsElsewhere(request: wire.GuardStartsRequest): VmElsewhere[] {
  return check(guardStarts, { vms: request.vms.map((vm) => ({ ...vm, vmUuid: vm.vmUuid.toLowerCase() })) }).vms;
}
