/** The connections to all agents: one channel per host, made when first needed, with the manager's certificate. */
import { credentials, type ChannelCredentials } from '@grpc/grpc-js';
import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import type { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { HostAgentClient } from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import { CertificateAuthority } from '../certificates/certificate-authority.js';
import { AgentClient } from './agent-client.js';
import type { CalledHost } from './agent-errors.js';
import { certificateRefusal, type CallerIdentity } from './certificate-refusal.js';

const KEEPALIVE_MS = 20_000;
const KEEPALIVE_TIMEOUT_MS = 10_000;
const MAX_BACKOFF_MS = 5000;
/** A host with thousands of VMs sends a long first list. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

@Injectable()
export class AgentsService implements OnApplicationShutdown {
  private readonly clients = new Map<string, { address: string; client: HostAgentClient }>();
  private own: Promise<CallerIdentity> | undefined;

  constructor(private readonly authority: CertificateAuthority) {}

  /** The agent of a host. Its certificate must carry the host's id: another host at that address is refused. */
  async of(host: CalledHost): Promise<AgentClient> {
    const own = await this.identity();
    const known = this.clients.get(host.id);
    // The channel stays; what is said about the host has the name that it has now.
    if (known?.address === host.address) return new AgentClient(known.client, host);
    known?.client.close();
    const client = new HostAgentClient(host.address, channelCredentials(own), {
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

  /** Whether certificates are why a host does not answer: CERTIFICATE_REFUSED, or undefined. A handshake of its own: not for every call. */
  async certificateRefusal(host: CalledHost): Promise<HoldfastError | undefined> {
    return certificateRefusal(host, await this.identity());
  }

  onApplicationShutdown(): void {
    for (const { client } of this.clients.values()) client.close();
    this.clients.clear();
  }

  private identity(): Promise<CallerIdentity> {
    return (this.own ??= this.authority
      .issueManagerClient()
      .then((pair) => ({ ...pair, authorityPem: this.authority.certificatePem })));
  }
}

function channelCredentials({ authorityPem, keyPem, certificatePem }: CallerIdentity): ChannelCredentials {
  return credentials.createSsl(Buffer.from(authorityPem), Buffer.from(keyPem), Buffer.from(certificatePem));
}
