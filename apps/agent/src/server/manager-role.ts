/**
 * Who may call this agent: only the manager, by the URI in its client certificate. That the certificate is signed by the
 * manager's own CA was checked by TLS before. Owns that rule for every method, health and reflection included.
 */
import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { MANAGER_IDENTITY } from '@holdfast/shared/wire/protocol.js';
import { serviceError } from './service-error.js';

/** True for a certificate that carries the manager's URI. Pure. `alternatives`: as Node gives them, "URI:…, DNS:…". */
export function isManager(alternatives: string | undefined): boolean {
  return (alternatives ?? '').split(', ').includes(`URI:${MANAGER_IDENTITY}`);
}

/** Refuses every call of anybody else with CERTIFICATE_REFUSED. */
export const managerOnly: ServerInterceptor = (_method, call) => {
  const certificate = call.getAuthContext().sslPeerCertificate;
  if (isManager(certificate?.subjectaltname)) return new ServerInterceptingCall(call);
  const caller = [certificate?.subject?.CN ?? 'without a certificate'].flat().join(', ');
  const error = new HoldfastError(
    'CERTIFICATE_REFUSED',
    `This agent speaks only with the manager of its zone; the caller (${caller}) is not the manager.`,
    { caller },
  );
  return new ServerInterceptingCall(call, {
    start: (next) => {
      next({
        onReceiveMetadata: () => {
          const { code, details, metadata } = serviceError(error);
          call.sendStatus({ code, details, metadata });
        },
      });
    },
  });
};
