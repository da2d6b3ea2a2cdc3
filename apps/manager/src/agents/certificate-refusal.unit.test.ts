/** Why a host does not answer, by the certificates: against real gRPC servers with certificates of real authorities. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server as TcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { CertificateAuthority } from '../certificates/certificate-authority.js';
import { newRequest } from '../testing/certificate-request.js';
import { certificateRefusal, type CallerIdentity } from './certificate-refusal.js';

const HOST_ID = 'a0000000-0000-4000-8000-000000000001';
const OTHER_ID = 'a0000000-0000-4000-8000-000000000002';
const DAY_MS = 86_400_000;

describe('a host that does not answer', () => {
  let folder: string;
  let ours: CertificateAuthority;
  let other: CertificateAuthority;
  let identity: CallerIdentity;
  const ends: (() => void)[] = [];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hf-cr-'));
    ours = await CertificateAuthority.open(join(folder, 'ours'), () => new Date(Date.now() - 3000 * DAY_MS));
    other = await CertificateAuthority.open(join(folder, 'other'), () => new Date());
    const today = await CertificateAuthority.open(join(folder, 'ours'), () => new Date());
    identity = { ...(await today.issueManagerClient()), authorityPem: ours.certificatePem };
  });
  afterEach(() => ends.splice(0).forEach((end) => end()));
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const seen = (port: number): ReturnType<typeof certificateRefusal> =>
    certificateRefusal({ id: HOST_ID, name: 'kvm1', address: `127.0.0.1:${port}` }, identity);

  /** An agent with a certificate of `issuer` that lets callers of `trusted` in. */
  async function agent(issuer: CertificateAuthority, trusted: CertificateAuthority, hostId = HOST_ID): Promise<number> {
    const { keyPem, requestPem } = await newRequest();
    const pair = { private_key: Buffer.from(keyPem), cert_chain: Buffer.from(await issuer.issueForAgent(requestPem, hostId)) };
    const server = new Server();
    ends.push(() => server.forceShutdown());
    const door = ServerCredentials.createSsl(Buffer.from(trusted.certificatePem), [pair], true);
    return new Promise((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', door, (error, port) => (error === null ? resolve(port) : reject(error)));
    });
  }
  async function listening(server: TcpServer): Promise<number> {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ends.push(() => server.close());
    return (server.address() as { port: number }).port;
  }
  const today = (): Promise<CertificateAuthority> => CertificateAuthority.open(join(folder, 'ours'), () => new Date());

  it('shows a certificate of another authority', async () => {
    expect(await seen(await agent(other, ours))).toMatchObject({
      code: 'CERTIFICATE_REFUSED',
      message: expect.stringMatching(/"kvm1".*does not trust \(\w+\).*join again with a new token/),
      fields: { hostId: HOST_ID, reason: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' },
    });
  });

  it('trusts another authority: its refusal comes after the handshake, and is no error of TLS', async () => {
    expect(await seen(await agent(await today(), other))).toMatchObject({
      code: 'CERTIFICATE_REFUSED',
      message: expect.stringMatching(/refuses this manager's certificate.*join again with a new token/),
      fields: { reason: 'CLOSED_AFTER_HANDSHAKE' },
    });
  });

  it('refuses by an alert', async () => {
    // Fatal, unknown_ca.
    const port = await listening(
      createServer((socket) => socket.once('data', () => socket.end(Buffer.from([21, 3, 3, 0, 2, 2, 48])))),
    );
    expect(await seen(port)).toMatchObject({ code: 'CERTIFICATE_REFUSED', fields: { reason: 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA' } });
  });

  it('is another host of the zone', async () => {
    expect(await seen(await agent(await today(), await today(), OTHER_ID))).toMatchObject({
      message: expect.stringMatching(/certificate of another host.*host update --address/),
      fields: { reason: 'ERR_TLS_CERT_ALTNAME_INVALID' },
    });
  });

  it('has a certificate that expired', async () => {
    expect(await seen(await agent(ours, ours))).toMatchObject({ fields: { reason: 'CERT_HAS_EXPIRED' } });
  });

  it('for other reasons is not accused: all is well, nobody listens, no TLS, or gone in the middle', async () => {
    expect(await seen(await agent(await today(), await today()))).toBeUndefined();
    expect(await seen(1)).toBeUndefined();
    expect(await seen(await listening(createServer((socket) => socket.end('SSH-2.0-x\r\n'))))).toBeUndefined();
    expect(await seen(await listening(createServer((socket) => socket.once('data', () => socket.destroy()))))).toBeUndefined();
  });
});
