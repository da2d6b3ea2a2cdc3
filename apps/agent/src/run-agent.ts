/**
 * The running agent: composes real adapters, recovers, listens, and ends. Owns the order of start and stop, nothing else.
 * Order of start: state → relief of guests → leases → door → resuming (when libvirt answers). Once configuration and certificates are
 * read nothing that the host lacks keeps it from starting: a frozen guest waits for this agent.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readHostCertificates } from './certificates/host-certificates.js';
import { findLacks } from './check-host.js';
import { systemClock } from './clock/clock.js';
import { createCommands } from './commands/index.js';
import { readAgentConfig, type AgentConfig } from './config/agent-config.js';
import { GuestDuties } from './guest-duties/guest-duties.js';
import { DomainEvents } from './hypervisor/domain-events.js';
import { VirshHypervisor } from './hypervisor/virsh-hypervisor.js';
import { QemuImgTool } from './images/qemu-img-tool.js';
import { ChildFileLooks } from './looks/child-file-looks.js';
import { KeptFileLooks } from './looks/kept-file-looks.js';
import { winstonLog } from './logging/winston-log.js';
import type { Hypervisor } from './hypervisor/hypervisor.js';
import type { Log } from './logging/log.js';
import { FencingTokens } from './operations/fencing.js';
import { FileBreakpoints } from './operations/file-breakpoints.js';
import { JournalStore } from './operations/journal.js';
import { noBreakpoints } from './operations/no-breakpoints.js';
import { OperationRunner } from './operations/runner.js';
import { ExecaToolRunner } from './process/execa-tool-runner.js';
import { ChildTargetFiles } from './secondary/child-target-files.js';
import { KnownRoots } from './secondary/known-roots.js';
import { MountedStorageLeases } from './secondary/mounted-storage-leases.js';
import { Mounter } from './secondary/mounter.js';
import { guardedHypervisor } from './start-guard/guarded-hypervisor.js';
import { installHook, removeHook } from './start-guard/hook-file.js';
import { LookOnHints } from './start-guard/look-on-hints.js';
import { StartGuard } from './start-guard/start-guard.js';
import { AgentServer } from './server/grpc-server.js';
import { hostAgentService } from './server/host-agent-service.js';
import { HostInfo } from './server/host-info.js';

/** After a restart of the host libvirt may need this long; then operations go on anyway and meet its absence themselves. */
const LIBVIRT_PATIENCE_MS = 120_000;
const LIBVIRT_POLL_MS = 500;
const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id';

export interface RunningAgent {
  readonly port: number;
  /** Takes no new work, leaves operations resumable. */
  stop(): Promise<void>;
}

/** Starts the agent of this host. CONFIGURATION_INVALID when it cannot. */
export async function runAgent(configFile: string): Promise<RunningAgent> {
  // Disks, backups and journals are nobody else's business; children inherit it.
  process.umask(0o077);
  const config = await readAgentConfig(configFile);
  const certificates = await readHostCertificates(config.certificatesDir);
  const log = winstonLog(config.logLevel, config.logFormat);
  const agentVersion = await readVersion();
  const clock = systemClock;
  const tools = new ExecaToolRunner(log);
  const roots = new KnownRoots([...config.primaryPools, join(config.libvirtLibDir, 'qemu', 'nvram')]);
  const program = fileURLToPath(new URL('./looks/kept-looks-main.js', import.meta.url));
  const looks = new KeptFileLooks({ program, otherwise: new ChildFileLooks(tools), log });
  const files = new ChildTargetFiles(tools, looks, roots);
  const images = new QemuImgTool({ tools, looks, log });
  const guard = new StartGuard({ dir: join(config.stateDir, 'hook'), files, log });
  const libvirt = new VirshHypervisor({
    tools,
    looks,
    images,
    uri: config.libvirtUri,
    libDir: config.libvirtLibDir,
    procDir: '/proc',
    allowedRoots: () => roots.all(),
    log,
  });
  const hypervisor = guardedHypervisor(libvirt, guard);
  const storages = new MountedStorageLeases({ ...config, files, roots, mounter: new Mounter(tools), clock, log });
  const duties = new GuestDuties({ dir: join(config.stateDir, 'guest-duties'), hypervisor, clock, log });
  const commands = createCommands({
    hypervisor,
    images,
    files,
    storages,
    duties,
    starts: guard,
    clock,
    hostname: hostname(),
    agentVersion,
  });
  const bootId = (await readFile(BOOT_ID_FILE, 'utf8')).trim();
  const runner = newRunner(config, { commands, hypervisor, storages, guard, bootId, log });

  // Guests first: one that was left frozen waits for nothing else.
  await duties.relieveAll();
  await runner.recover();
  const unfinished = runner.list(true).map((view) => view.operationId);
  await storages.recover(unfinished);
  await guard.recover(unfinished);
  await placeHook(config, log);
  runner.resume();

  const events = new DomainEvents({ uri: config.libvirtUri, log });
  const listeners = new Set<() => void>();
  events.onHint(() => listeners.forEach((listener) => listener()));
  const lookOnHints = new LookOnHints({ hypervisor, guard, clock });
  events.onHint(() => lookOnHints.hint());
  events.start();
  const hints = (listener: () => void): (() => void) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  };
  const hostInfo = new HostInfo({
    hostId: certificates.hostId,
    agentVersion,
    hypervisor,
    images,
    files,
    primaryPools: config.primaryPools,
    maxConcurrentOperations: config.maxConcurrentOperations,
    runningOperations: () => runner.runningCount,
    clock,
  });
  const service = hostAgentService({
    runner,
    codecs: commands,
    hypervisor,
    storages,
    survey: { files, images, storages, primaryPools: config.primaryPools },
    strays: {
      ...{ files, images, storages, hypervisor },
      busyVms: () => new Set(runner.list(true).map((view) => view.vmUuid)),
      makesPrimaryFiles: () => runner.list(true).some(({ kind }) => kind === 'RestoreBackup' || kind === 'RevertVmSnapshot'),
    },
    guard,
    hostInfo,
    domainWatch: { hints, pollMs: config.domainPollMs, clock, log },
    log,
  });
  const server = await AgentServer.start({
    ...certificates,
    listen: config.listen,
    service,
    descriptorSet: await readDescriptors(),
  });
  log.info('Agent listens', {
    listen: config.listen,
    hostId: certificates.hostId,
    version: agentVersion,
    unfinished: runner.list(true).length,
  });
  void findLacks(config, tools).then((lacks) => lacks.forEach((lack) => log.warn('This host lacks what backups need', { lack })));
  return {
    port: server.port,
    async stop() {
      log.info('Agent stops; operations stay resumable', { unfinished: runner.list(true).length });
      server.stop();
      events.stop();
      lookOnHints.stop();
      await runner.stop();
      storages.close();
      await duties.close();
      await guard.settled();
    },
  };
}

function newRunner(
  config: AgentConfig,
  parts: {
    commands: ReturnType<typeof createCommands>;
    hypervisor: Hypervisor;
    storages: MountedStorageLeases;
    guard: StartGuard;
    bootId: string;
    log: Log;
  },
): OperationRunner {
  const { hypervisor, storages, guard, log } = parts;
  const breakpointDir = process.env['HOLDFAST_BREAKPOINTS'];
  return new OperationRunner({
    journals: new JournalStore(config.stateDir),
    fencing: new FencingTokens(config.stateDir),
    commands: parts.commands,
    maxConcurrentOperations: config.maxConcurrentOperations,
    breakpoints: breakpointDir === undefined ? noBreakpoints : new FileBreakpoints(breakpointDir),
    undoPatienceMs: config.undoPatienceMs,
    backoff: { firstMs: 1_000, mostMs: 30_000 },
    bootId: parts.bootId,
    clock: systemClock,
    log,
    readyToResume: () => untilAvailable(hypervisor),
    onFinished: (operationId) => {
      void guard.operationEnded(operationId);
      void storages
        .releaseAll(operationId)
        .catch((thrown: unknown) => log.warn('A storage could not be released', { reason: String(thrown) }));
    },
  });
}

/** The agent works without its hook; that it is missing is told, not a reason to stay away. */
async function placeHook({ startGuard, libvirtHooksDir, stateDir }: AgentConfig, log: Log): Promise<void> {
  try {
    if (!startGuard) {
      await removeHook(libvirtHooksDir);
      return;
    }
    const { path, fresh } = await installHook(libvirtHooksDir, stateDir);
    if (fresh) log.warn('The guard of VM starts was installed; if libvirtd had no hook before, restart libvirtd once', { path });
  } catch (thrown) {
    log.error('The guard of VM starts could not be installed', { hooks: libvirtHooksDir, reason: String(thrown) });
  }
}

async function untilAvailable(hypervisor: Pick<Hypervisor, 'available'>): Promise<void> {
  const begun = systemClock.now();
  while (systemClock.now() - begun < LIBVIRT_PATIENCE_MS) {
    if (await hypervisor.available().catch(() => false)) return;
    await systemClock.sleep(LIBVIRT_POLL_MS);
  }
}

async function readVersion(): Promise<string> {
  const text = await readFile(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** The agent's own part of the protocol: descriptors of all of it cost 4 MB more. */
function readDescriptors(): Promise<Buffer> {
  return readFile(createRequire(import.meta.url).resolve('@holdfast/shared/agent.binpb'));
}
