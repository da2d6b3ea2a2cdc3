/** The manager's configuration: its schema and defaults. Must not read files or the environment. */
import { z } from 'zod';

/** Injection token of the {@link ManagerConfig}. */
export const MANAGER_CONFIG = Symbol('MANAGER_CONFIG');

/** `host:port`; port 0 takes a free one. */
const listenSchema = z.string().regex(/^(\[[0-9a-fA-F:]+\]|[^:[\]\s]+):\d{1,5}$/, 'must be host:port');

export const managerConfigSchema = z.strictObject({
  databaseUrl: z
    .string()
    .regex(/^postgres(ql)?:\/\//, 'must begin with postgres://')
    .optional()
    .describe('An external PostgreSQL; absent: a private one under dataDir'),
  dataDir: z.string().startsWith('/', 'must be an absolute path').default('/var/lib/holdfast-manager'),
  lostCertificateAuthority: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'must be the fingerprint of a certificate authority, 64 digits, as the refused start names it')
    .optional()
    .describe('A certificate authority that is lost everywhere: the own one may take its place, and every host joins again'),
  rest: z.strictObject({ listen: listenSchema.default('0.0.0.0:8443') }).prefault({}),
  grpc: z.strictObject({ listen: listenSchema.default('0.0.0.0:8444') }).prefault({}),
  tls: z
    .strictObject({
      names: z
        .array(z.string().min(1))
        .default([])
        .describe('Further names and addresses for the certificate of the public doors'),
      certificateFile: z.string().optional().describe('A certificate of your own for the public doors'),
      keyFile: z.string().optional(),
    })
    .prefault({})
    .refine(
      (tls) => (tls.certificateFile === undefined) === (tls.keyFile === undefined),
      'give certificateFile and keyFile together',
    ),
  heartbeatSeconds: z.number().positive().max(300).default(5).describe('Between two looks at a host'),
  reconcileSeconds: z.number().positive().default(600).describe('Between two full comparisons of a host with the database'),
  leaseSeconds: z
    .number()
    .positive()
    .default(30)
    .describe('How long a manager may be silent before another takes over its operations'),
});
export type ManagerConfig = z.infer<typeof managerConfigSchema>;

/** Splits `host:port`; brackets of IPv6 are taken off. */
export function splitListen(listen: string): { host: string; port: number } {
  const colon = listen.lastIndexOf(':');
  return { host: listen.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(listen.slice(colon + 1)) };
}
