import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readHostCertificates } from './host-certificates.js';
import { fingerprint, parseJoinToken } from './join-token.js';
import { joinZone } from './join.js';
import { TestAuthority } from './test-authority.js';

const HOST_ID = '00000000-0000-4000-8000-00000000aaaa';

describe('joining a zone', () => {
  let dir: string;
  let authority: TestAuthority;
  let received: { token: string; name: string; address: string; certificateRequestPem: string }[];
  let answers: ReturnType<typeof createHttpServer>[];
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'holdfast-join-'));
    authority = await TestAuthority.create();
    received = [];
    answers = [];
  });
  afterEach(async () => {
    for (const server of answers) server.close();
    await rm(dir, { recursive: true, force: true });
  });

  /** A manager that certifies with `signer` and shows certificates of `shown` (https) or none (http). */
  async function manager(options: { signer?: TestAuthority; shown?: TestAuthority; refuse?: boolean } = {}): Promise<string> {
    const { signer = authority, shown, refuse } = options;
    const onRequest: RequestListener = (request, response) => {
      let text = '';
      request.on('data', (piece: Buffer) => (text += piece.toString()));
      request.on('end', () => {
        const body = JSON.parse(text) as (typeof received)[number];
        received.push(body);
        if (refuse || request.url !== '/api/v1/host-joins') {
          response.writeHead(401, { 'content-type': 'application/problem+json' });
          response.end(
            JSON.stringify({
              type: 'urn:holdfast:error:token-expired',
              title: 'x',
              status: 401,
              detail: 'The token has expired.',
              code: 'TOKEN_EXPIRED',
              retryable: false,
              fields: {},
            }),
          );
          return;
        }
        void signer.certify(body.certificateRequestPem, [{ type: 'dns', value: HOST_ID }]).then((certificatePem) => {
          response.writeHead(201, { 'content-type': 'application/json' });
          response.end(JSON.stringify({ hostId: HOST_ID, certificatePem, caCertificatePem: signer.certificatePem }));
        });
      });
    };
    const own = await shown?.issue('CN=manager', [{ type: 'dns', value: 'localhost' }]);
    const server =
      own === undefined || shown === undefined
        ? createHttpServer(onRequest)
        : createHttpsServer({ key: own.keyPem, cert: `${own.certificatePem}${shown.certificatePem}` }, onRequest);
    answers.push(server as ReturnType<typeof createHttpServer>);
    await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
    return `${own === undefined ? 'http' : 'https'}://localhost:${(server.address() as AddressInfo).port}`;
  }
  const wish = (managerUrl: string): Parameters<typeof joinZone>[0] => ({
    managerUrl,
    token: `hfj1.c2VjcmV0.${fingerprint(authority.certificatePem)}`,
    name: 'host "é"',
    address: 'host:7443',
    certificatesDir: join(dir, 'certificates'),
  });

  it.each(['http', 'https'])('makes a key, has it certified and keeps the set (%s)', async (protocol) => {
    const url = await manager(protocol === 'https' ? { shown: authority } : {});
    expect(await joinZone(wish(url))).toBe(HOST_ID);
    expect(received[0]).toMatchObject({ token: wish(url).token, name: 'host "é"', address: 'host:7443' });
    const set = await readHostCertificates(join(dir, 'certificates'));
    expect(set).toMatchObject({ hostId: HOST_ID, caCertificatePem: authority.certificatePem });
    expect((await stat(join(dir, 'certificates', 'host.key'))).mode & 0o777).toBe(0o600);
    // A host may join again; the set is replaced.
    expect(await joinZone(wish(url))).toBe(HOST_ID);
  });

  it('sends nothing, not even the token, to who does not show the authority of the token', async () => {
    const url = await manager({ shown: await TestAuthority.create() });
    await expect(joinZone(wish(url))).rejects.toMatchObject({ code: 'CERTIFICATE_REFUSED' });
    expect(received).toEqual([]);
  });

  it('keeps nothing that another authority has signed', async () => {
    const url = await manager({ signer: await TestAuthority.create() });
    await expect(joinZone(wish(url))).rejects.toMatchObject({ code: 'CERTIFICATE_REFUSED' });
    expect(await readdir(dir)).toEqual([]);
  });

  it('says what the manager said', async () => {
    await expect(joinZone(wish(await manager({ refuse: true })))).rejects.toMatchObject({
      code: 'TOKEN_EXPIRED',
      message: 'The token has expired.',
    });
    await expect(joinZone(wish('http://localhost:1'))).rejects.toMatchObject({ code: 'HOST_UNAVAILABLE' });
    await expect(joinZone(wish('manager'))).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  });

  it.each(['', 'hfj1.secret', 'hfj2.secret.'.padEnd(76, 'a'), 'hfj1.secret.zz'])('refuses %j as a token', (text) => {
    expect(() => parseJoinToken(text)).toThrow(expect.objectContaining({ code: 'TOKEN_INVALID' }));
  });

  it('refuses to run with a set that does not belong together', async () => {
    await joinZone(wish(await manager()));
    await rm(join(dir, 'certificates', 'host.json'));
    await expect(readHostCertificates(join(dir, 'certificates'))).rejects.toMatchObject({ code: 'CONFIGURATION_INVALID' });
  });
});
