/** The connections to all agents: one channel per host, made when first needed, with the manager's certificate. */
import { credentials, type ChannelCredentials } from '@grpc/grpc-js';
import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { HostAgentClient } from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import { CertificateAuthority } from '../certificates/certificate-authority.js';
import { AgentClient } from './agent-client.js';
import type { CalledHost } from './agent-errors.js';

const KEEPALIVE_MS = 20_000;
const KEEPALIVE_TIMEOUT_MS = 10_000;
const MAX_BACKOFF_MS = 5000;
/** A host with thousands of VMs sends a long first list. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

@Injectable()
export class AgentsService implements OnApplicationShutdown {
  private readonly clients = new Map<string, { address: string; client: HostAgentClient }>();
  private own: Promise<ChannelCredentials> | undefined;

  constructor(private readonly authority: CertificateAuthority) {}

  /** The agent of a host. Its certificate must carry the host's id: another host at that address is refused. */
  async of(host: CalledHost): Promise<AgentClient> {
    const credentialsOfManager = await (this.own ??= this.createCredentials());
    const known = this.clients.get(host.id);
    // The channel stays; what is said about the host has the name that it has now.
    if (known?.address === host.address) return new AgentClient(known.client, host);
    known?.client.close();
    const client = new HostAgentClient(host.address, credentialsOfManager, {
      'grpc.ssl_target_name_override': host.id,
      'grpc.default_authority': host.id,
      'grpc.keepalive_time_ms': KEEPALIVE_MS,
      'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
      'grpc.max_reconnect_backoff_ms': MAX_BACKOFF_MS,
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc.use_local_subchannel_pool': 1,
    });
    this.clients.set(host.id, { address: host.address, client });
    return new AgentClient(client, host);
  }

  onApplicationShutdown(): void {
    for (const { client } of this.clients.values()) client.close();
    this.clients.clear();
  }

  private async createCredentials(): Promise<ChannelCredentials> {
    const { keyPem, certificatePem } = await this.authority.issueManagerClient();
    return credentials.createSsl(Buffer.from(this.authority.certificatePem), Buffer.from(keyPem), Buffer.from(certificatePem));
  }
}
