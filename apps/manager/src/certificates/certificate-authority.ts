/**
 * The manager's own certificate authority: made once, key readable by its owner alone. Issues certificates for agents (SAN: host
 * id), for the manager as their client (SAN: holdfast:manager), and for the public doors. Must not decide who may have one.
 */
import 'reflect-metadata';
import { createHash, randomBytes, webcrypto } from 'node:crypto';
import { access, mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { MANAGER_IDENTITY } from '@holdfast/shared/wire/protocol.js';

const KEY_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;
const CA_DAYS = 7300;
const AGENT_DAYS = 1825;
const OWN_DAYS = 825;
const CLOCK_SKEW_MS = 300_000;
const FILE = 'ca.pem';

/** A key with its certificate, PEM. `certificatePem` of a server carries the CA's as well. */
export interface KeyAndCertificate {
  readonly keyPem: string;
  readonly certificatePem: string;
}

export class CertificateAuthority {
  private constructor(
    private readonly certificate: x509.X509Certificate,
    private readonly key: webcrypto.CryptoKey,
    private readonly now: () => Date,
  ) {}

  /** True when `folder` holds a CA, whatever its state. */
  static async isIn(folder: string): Promise<boolean> {
    return access(join(folder, FILE)).then(
      () => true,
      (error: NodeJS.ErrnoException) => error.code !== 'ENOENT',
    );
  }

  /** Opens the CA in `folder`, or makes it. Two managers that start at once on one folder end up with the same. */
  static async open(folder: string, now: () => Date): Promise<CertificateAuthority> {
    x509.cryptoProvider.set(webcrypto as never);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const file = join(folder, FILE);
    const made = await makeAuthority(now());
    // One file with key and certificate, created exclusively: there is never half an authority.
    const handle = await open(file, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return undefined;
      throw error;
    });
    if (handle !== undefined) {
      try {
        await handle.writeFile(`${made.keyPem}\n${made.certificatePem}\n`);
        await handle.sync();
      } finally {
        await handle.close();
      }
    }
    const text = await readFile(file, 'utf8');
    try {
      const [keyPem, certificatePem] = [block(text, 'PRIVATE KEY'), block(text, 'CERTIFICATE')];
      const key = await webcrypto.subtle.importKey('pkcs8', x509.PemConverter.decodeFirst(keyPem), KEY_ALGORITHM, false, [
        'sign',
      ]);
      return new CertificateAuthority(new x509.X509Certificate(certificatePem), key, now);
    } catch (error) {
      throw new HoldfastError(
        'CONFIGURATION_INVALID',
        `The certificate authority in ${file} cannot be read. Put the file back from a backup; agents trust no other.`,
        { path: file },
        { cause: error },
      );
    }
  }

  get certificatePem(): string {
    return this.certificate.toString('pem');
  }

  /** SHA-256 of the certificate (DER), hex: what a join token carries so that an agent knows whom to trust. */
  get fingerprint(): string {
    return createHash('sha256').update(Buffer.from(this.certificate.rawData)).digest('hex');
  }

  /** A certificate for an agent's request. Only its public key is taken from it; the identity is ours. INVALID_INPUT for a request that is none. */
  async issueForAgent(requestPem: string, hostId: string): Promise<string> {
    let request: x509.Pkcs10CertificateRequest;
    try {
      request = new x509.Pkcs10CertificateRequest(requestPem);
      if (!(await request.verify())) throw new Error('the signature does not match the key');
    } catch (error) {
      throw new HoldfastError(
        'INVALID_INPUT',
        'The certificate request is not a valid PKCS #10 request in PEM. Let the agent make it with "holdfast-agent join".',
        {},
        { cause: error },
      );
    }
    const names = [{ type: 'dns' as const, value: hostId }];
    return this.issue(`CN=${hostId}`, request.publicKey, names, AGENT_DAYS, ['server', 'client']);
  }

  /** The manager as the client of agents. */
  async issueManagerClient(): Promise<KeyAndCertificate> {
    return this.issueOwn('CN=holdfast-manager', [{ type: 'url', value: MANAGER_IDENTITY }], ['client']);
  }

  /** The manager's public doors. `names`: host names and addresses under which callers reach it. */
  async issueServer(names: readonly string[]): Promise<KeyAndCertificate> {
    const alternatives = names.map((name) => ({ type: isAddress(name) ? ('ip' as const) : ('dns' as const), value: name }));
    const own = await this.issueOwn('CN=holdfast', alternatives, ['server']);
    return { keyPem: own.keyPem, certificatePem: `${own.certificatePem}\n${this.certificatePem}\n` };
  }

  private async issueOwn(subject: string, names: x509.JsonGeneralNames, usage: readonly Usage[]): Promise<KeyAndCertificate> {
    const keys = await newKeys();
    const certificatePem = await this.issue(subject, keys.publicKey, names, OWN_DAYS, usage);
    return { keyPem: await privatePem(keys.privateKey), certificatePem };
  }

  private async issue(
    subject: string,
    publicKey: x509.PublicKeyType,
    names: x509.JsonGeneralNames,
    days: number,
    usage: readonly Usage[],
  ): Promise<string> {
    const from = this.now().getTime();
    const issued = await x509.X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject,
      issuer: this.certificate.subject,
      notBefore: new Date(from - CLOCK_SKEW_MS),
      notAfter: new Date(Math.min(from + days * DAY_MS, this.certificate.notAfter.getTime())),
      publicKey,
      signingKey: this.key,
      signingAlgorithm: SIGNING,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(
          usage.map((use) => (use === 'server' ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth)),
        ),
        new x509.SubjectAlternativeNameExtension(names),
        await x509.AuthorityKeyIdentifierExtension.create(this.certificate),
        await x509.SubjectKeyIdentifierExtension.create(publicKey),
      ],
    });
    return issued.toString('pem');
  }
}

type Usage = 'server' | 'client';

async function makeAuthority(now: Date): Promise<KeyAndCertificate> {
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: 'CN=Holdfast CA',
    notBefore: new Date(now.getTime() - CLOCK_SKEW_MS),
    notAfter: new Date(now.getTime() + CA_DAYS * DAY_MS),
    keys,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { keyPem: await privatePem(keys.privateKey), certificatePem: certificate.toString('pem') };
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(KEY_ALGORITHM, true, ['sign', 'verify']);
}

async function privatePem(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}

/** Positive and 16 bytes long. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

function block(text: string, label: string): string {
  const match = new RegExp(`-----BEGIN ${label}-----[^-]+-----END ${label}-----`).exec(text);
  if (match === null) throw new Error(`no ${label}`);
  return match[0];
}

function isAddress(name: string): boolean {
  return /^\d+\.\d+\.\d+\.\d+$/.test(name) || name.includes(':');
}
