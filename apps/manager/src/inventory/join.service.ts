/** How a host joins: one-time tokens, stored hashed, and the certificate that one buys. The token is the permission. */
import { createHash, randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { CreateJoinToken, JoinedHost, JoinHost, JoinToken } from '@holdfast/shared/api/inventory.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { HostId } from '@holdfast/shared/ids/ids.js';
import { requireAdmin, type Caller } from '../access/caller.js';
import { CertificateAuthority } from '../certificates/certificate-authority.js';
import { AuditLog } from '../events/audit-log.js';
import { HostEntity, JoinTokenEntity } from '../persistence/entities/inventory.entities.js';
import { isForeignKeyViolation, violatedUnique } from '../persistence/violations.js';
import { Clock } from '../platform/clock.js';

const TOKEN_PREFIX = 'hfj1';

@Injectable()
export class JoinService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly authority: CertificateAuthority,
    private readonly clock: Clock,
    private readonly audit: AuditLog,
  ) {}

  async createToken(caller: Caller, input: CreateJoinToken): Promise<JoinToken> {
    requireAdmin(caller, 'let hosts join');
    const secret = randomBytes(24).toString('base64url');
    const now = this.clock.now();
    const expiresAt = new Date(now.getTime() + input.validSeconds * 1000);
    const id = this.clock.newId();
    try {
      await this.dataSource.manager.insert(JoinTokenEntity, {
        id,
        zoneId: input.zoneId,
        secretHash: hash(secret),
        createdAt: now,
        expiresAt,
      });
    } catch (error) {
      if (!isForeignKeyViolation(error)) throw error;
      throw new HoldfastError('NOT_FOUND', `There is no zone ${input.zoneId}. List the zones to see their ids.`, {
        zoneId: input.zoneId,
      });
    }
    this.audit.changed(caller, 'join-token.create', { joinTokenId: id, zoneId: input.zoneId });
    return { token: `${TOKEN_PREFIX}.${secret}.${this.authority.fingerprint}`, expiresAt: expiresAt.toISOString() };
  }

  /** Makes the caller a host of the token's zone. TOKEN_INVALID for an unknown or used token, TOKEN_EXPIRED for an old one. */
  async join(input: JoinHost): Promise<JoinedHost> {
    checkAddress(input.address);
    const joined = await this.dataSource.transaction(async (manager) => {
      const token = await this.redeem(manager, input.token);
      const hostId = await this.admit(manager, token.zoneId, input);
      const certificatePem = await this.authority.issueForAgent(input.certificateRequestPem, hostId);
      await manager.update(JoinTokenEntity, { id: token.id }, { usedAt: this.clock.now(), usedByHostId: hostId });
      return { hostId: hostId as HostId, certificatePem, caCertificatePem: this.authority.certificatePem };
    });
    this.audit.changed(undefined, 'host.join', { hostId: joined.hostId, name: input.name, address: input.address });
    return joined;
  }

  private async redeem(manager: EntityManager, text: string): Promise<JoinTokenEntity> {
    const [prefix, secret] = text.split('.');
    const token =
      prefix === TOKEN_PREFIX && secret !== undefined
        ? await manager.findOne(JoinTokenEntity, { where: { secretHash: hash(secret) }, lock: { mode: 'pessimistic_write' } })
        : null;
    if (token === null)
      throw new HoldfastError(
        'TOKEN_INVALID',
        'This join token is not known to this manager. Make one with "holdfast host token".',
      );
    if (token.usedAt !== null)
      throw new HoldfastError(
        'TOKEN_INVALID',
        'This join token was used already; one token lets one host join. Make another with "holdfast host token".',
      );
    if (token.expiresAt <= this.clock.now()) {
      throw new HoldfastError(
        'TOKEN_EXPIRED',
        `This join token expired at ${token.expiresAt.toISOString()}. Make another with "holdfast host token".`,
      );
    }
    return token;
  }

  /** A host that was set up anew takes its old place, unless the old one still answers. */
  private async admit(manager: EntityManager, zoneId: string, input: JoinHost): Promise<string> {
    const known = await manager.findOne(HostEntity, { where: { name: input.name }, lock: { mode: 'pessimistic_write' } });
    try {
      if (known !== null) {
        if (known.zoneId !== zoneId || known.state === 'Up') {
          throw new HoldfastError(
            'NAME_TAKEN',
            `There already is a host named "${input.name}"${known.state === 'Up' ? ', and it is up' : ' in another zone'}. Stop its agent, delete it, or give this one another name.`,
            { name: input.name, hostId: known.id },
          );
        }
        await manager.update(
          HostEntity,
          { id: known.id },
          { address: input.address, stateReason: 'it has joined again and was not reached yet' },
        );
        return known.id;
      }
      const id = this.clock.newId();
      await manager.insert(HostEntity, {
        id,
        zoneId,
        name: input.name,
        address: input.address,
        state: 'Down',
        stateReason: 'it has joined and was not reached yet',
        enabled: true,
        primaryPools: [],
        maxConcurrentOperations: 0,
        createdAt: this.clock.now(),
      });
      return id;
    } catch (error) {
      if (violatedUnique(error) === undefined) throw error;
      throw new HoldfastError(
        'NAME_TAKEN',
        `Another host has the address ${input.address} or the name "${input.name}" already. If it is this machine, join with the name that it has here (--name; "holdfast host list" shows it); otherwise with another address.`,
        { address: input.address, name: input.name },
      );
    }
  }
}

/** INVALID_INPUT unless `host:port`. */
export function checkAddress(address: string): void {
  if (!/^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/.test(address)) {
    throw new HoldfastError(
      'INVALID_INPUT',
      `The address "${address}" is not host:port. Give the name or address and port under which the manager reaches the agent.`,
      { address },
    );
  }
}

function hash(secret: string): string {
  return createHash('sha256').update(secret, 'utf8').digest('hex');
}
