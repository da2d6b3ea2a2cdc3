/** A certificate authority for tests: makes what a manager's would. Ships no trust: its key lives in memory alone. */
// The certificate library needs it first.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

export interface TestPair {
  readonly keyPem: string;
  readonly certificatePem: string;
}

const KEY = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;

export class TestAuthority {
  private constructor(
    private readonly certificate: x509.X509Certificate,
    private readonly keys: webcrypto.CryptoKeyPair,
  ) {}

  static async create(): Promise<TestAuthority> {
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: 'CN=Test CA',
      keys,
      signingAlgorithm: SIGNING,
      extensions: [new x509.BasicConstraintsExtension(true, 0, true)],
    });
    return new TestAuthority(certificate, keys);
  }

  get certificatePem(): string {
    return `${this.certificate.toString('pem')}\n`;
  }

  /** Signs a PKCS #10 request. */
  async certify(requestPem: string, names: x509.JsonGeneralNames): Promise<string> {
    const request = new x509.Pkcs10CertificateRequest(requestPem);
    return this.sign('CN=requested', request.publicKey, names);
  }

  async issue(subject: string, names: x509.JsonGeneralNames): Promise<TestPair> {
    const keys = await newKeys();
    const keyPem = x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY');
    return { keyPem, certificatePem: await this.sign(subject, keys.publicKey, names) };
  }

  private async sign(subject: string, publicKey: x509.PublicKeyType, names: x509.JsonGeneralNames): Promise<string> {
    const issued = await x509.X509CertificateGenerator.create({
      subject,
      issuer: this.certificate.subject,
      notBefore: new Date(Date.now() - DAY_MS),
      notAfter: new Date(Date.now() + DAY_MS),
      publicKey,
      signingKey: this.keys.privateKey,
      signingAlgorithm: SIGNING,
      extensions: [new x509.SubjectAlternativeNameExtension(names)],
    });
    return `${issued.toString('pem')}\n`;
  }
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(KEY, true, ['sign', 'verify']);
}
