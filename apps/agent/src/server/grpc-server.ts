/** The agent's door: gRPC over mutual TLS, the manager alone, with health and reflection. Owns listening and its end. */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { loadFileDescriptorSetFromBuffer } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { HostAgentService, type HostAgentServer } from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import { HealthImplementation } from 'grpc-health-check';
import { managerOnly } from './manager-role.js';

export interface ServerOptions {
  /** address:port; port 0 takes a free one. */
  readonly listen: string;
  /** PEM. */
  readonly keyPem: string;
  readonly certificatePem: string;
  readonly caCertificatePem: string;
  readonly service: HostAgentServer;
  /** Descriptors of the protocol, for reflection. */
  readonly descriptorSet: Buffer;
}

const SERVICE_NAME = 'holdfast.agent.v1.HostAgent';
/** Notices a manager whose host went away without a word, and keeps watches alive through firewalls. */
const KEEPALIVE = { 'grpc.keepalive_time_ms': 30_000, 'grpc.keepalive_timeout_ms': 10_000 };

export class AgentServer {
  private constructor(
    private readonly server: Server,
    private readonly health: HealthImplementation,
    readonly port: number,
  ) {}

  /** CONFIGURATION_INVALID when the address cannot be taken or the certificates are no certificates. */
  static async start(options: ServerOptions): Promise<AgentServer> {
    const server = new Server({ ...KEEPALIVE, interceptors: [managerOnly] });
    server.addService(HostAgentService, options.service);
    const health = new HealthImplementation({ '': 'SERVING', [SERVICE_NAME]: 'SERVING' });
    health.addToServer(server);
    new ReflectionService(loadFileDescriptorSetFromBuffer(options.descriptorSet), { services: [SERVICE_NAME] }).addToServer(
      server,
    );
    try {
      const pair = { private_key: Buffer.from(options.keyPem), cert_chain: Buffer.from(options.certificatePem) };
      const credentials = ServerCredentials.createSsl(Buffer.from(options.caCertificatePem), [pair], true);
      const port = await new Promise<number>((resolve, reject) => {
        server.bindAsync(options.listen, credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
      });
      return new AgentServer(server, health, port);
    } catch (cause) {
      throw new HoldfastError(
        'CONFIGURATION_INVALID',
        `The agent cannot listen on ${options.listen}: ${(cause as Error).message}. Change "listen", or let the host join again when its certificates are damaged.`,
        { listen: options.listen },
        { cause },
      );
    }
  }

  /** Takes no new calls and ends those that run. */
  stop(): void {
    this.health.setStatus('', 'NOT_SERVING');
    this.server.forceShutdown();
  }
}
