/** The agent's own process, started on a host that lacks what backups need: it is there all the same, and says what is missing. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { credentials, type ServiceError } from '@grpc/grpc-js';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { HostAgentClient, type GetHostInfoResponse } from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import { MANAGER_IDENTITY } from '@holdfast/shared/wire/protocol.js';
import { writeHostCertificates } from '../../apps/agent/src/certificates/host-certificates.js';
import { TestAuthority } from '../../apps/agent/src/certificates/test-authority.js';
import { AgentProcess } from '../system/agent-process.js';
import { TestHost } from '../testbed/test-host.js';
import { waitUntil } from '../testbed/wait-until.js';

const HOST_ID = randomUUID();
let host: TestHost;
let agent: AgentProcess;
let manager: HostAgentClient;
let missingPool: string;

beforeAll(async () => {
  host = await TestHost.create({ name: 'agent-start' });
  missingPool = join(host.dir, 'not mounted');
  agent = await AgentProcess.prepare(host, { settings: { primaryPools: [join(host.dir, 'images'), missingPool] } });
  const authority = await TestAuthority.create();
  const caCertificatePem = authority.certificatePem;
  const own = await authority.issue('CN=host', [{ type: 'dns', value: HOST_ID }]);
  await writeHostCertificates(join(agent.dir, 'certificates'), { hostId: HOST_ID, caCertificatePem, ...own });
  const { keyPem, certificatePem } = await authority.issue('CN=manager', [{ type: 'url', value: MANAGER_IDENTITY }]);
  const tls = credentials.createSsl(...([caCertificatePem, keyPem, certificatePem].map(Buffer.from) as [Buffer, Buffer, Buffer]));
  manager = new HostAgentClient(`127.0.0.1:${agent.port}`, tls, {
    'grpc.ssl_target_name_override': HOST_ID,
    'grpc.default_authority': HOST_ID,
    'grpc.max_reconnect_backoff_ms': 500,
  });
});

afterEach(() => agent.kill());
afterAll(async () => {
  manager?.close();
  await host?.destroy();
});

const askHostInfo = (): Promise<GetHostInfoResponse> =>
  new Promise((resolve, reject) => {
    manager.getHostInfo({}, (error: ServiceError | null, answer) => (error === null ? resolve(answer) : reject(error)));
  });
const answers = (): Promise<GetHostInfoResponse> => waitUntil('the agent answers', () => askHostInfo().catch(() => undefined));
const says = (words: string): Promise<true> =>
  waitUntil(`the agent says "${words}"`, async () => (await agent.logTail(200)).includes(words) || undefined);

describe('an agent that starts', () => {
  it('while libvirt is away and a pool is missing', async () => {
    await host.killLibvirtd();
    await agent.start();
    expect(await answers()).toMatchObject({
      ...{ hostId: HOST_ID, hypervisorAvailable: false },
      primaryPools: [expect.objectContaining({ path: agent.primaryPool }), { path: missingPool, totalBytes: 0n, freeBytes: 0n }],
    });
    await says(`The primary pool ${missingPool} is not a directory of this host`);
    await says('libvirt at qemu:///system does not answer');
    await host.startLibvirtd();
    await waitUntil('the agent has found libvirt', async () => (await askHostInfo()).hypervisorAvailable || undefined);
  });

  it('while tools are missing', async () => {
    const tools = ['/usr/bin/virsh', '/usr/bin/qemu-img'];
    // Nothing that can be executed is in their places, on this host alone.
    for (const tool of tools) expect(await host.run(['mount', '--bind', '/dev/null', tool])).toMatchObject({ exitCode: 0 });
    try {
      await agent.start();
      expect(await answers()).toMatchObject({ hypervisorAvailable: false, qemuImgVersion: '' });
      await says('The tool virsh is missing; install the package libvirt-clients');
      await says('The tool qemu-img is missing; install the package qemu-utils');
    } finally {
      for (const tool of tools) await host.run(['umount', tool]);
    }
    await waitUntil('the agent has found its tools', async () => {
      const { hypervisorAvailable, qemuImgVersion } = await askHostInfo();
      return (hypervisorAvailable && qemuImgVersion !== '') || undefined;
    });
  });
});
