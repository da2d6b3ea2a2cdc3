/** deploy/install.sh into a folder: what the units, the links and the README name is there. Needs a built checkout, no VM. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { existsSync } from 'node:fs';
import { access, constants, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { commandOf, repositoryRoot } from '../system/repository.js';
import { run, tryRun } from '../testbed/command.js';
import { workDir } from '../testbed/work-dir.js';

const PARTS = ['agent', 'manager'] as const;
const OWN_CONFIGURATION = 'dataDir: /srv/holdfast\n';
const ANALYZE = '/usr/bin/systemd-analyze';

describe('deploy/install.sh', () => {
  let root: string;
  const installed = (path: string): string => join(root, path);

  beforeAll(async () => {
    await mkdir(workDir(), { recursive: true });
    root = await mkdtemp(join(workDir(), 'install-'));
    await mkdir(installed('/etc/holdfast-manager'), { recursive: true });
    await writeFile(installed('/etc/holdfast-manager/manager.yaml'), OWN_CONFIGURATION);
    for (const part of PARTS) await run([join(repositoryRoot, 'deploy/install.sh'), part], { env: { DESTDIR: root } });
  });
  afterAll(() => rm(root, { recursive: true, force: true }));

  it.each(PARTS)('brings every path that the unit of the %s names', async (part) => {
    const unit = await readFile(installed(`/lib/systemd/system/holdfast-${part}.service`), 'utf8');
    const named = pathsIn(unit);
    expect(named).toEqual(
      expect.arrayContaining([
        `/usr/lib/holdfast-${part}/bin/holdfast-${part}`,
        `/usr/share/doc/holdfast-${part}/README.md`,
        `/etc/holdfast-${part}/${part}.yaml`,
      ]),
    );
    expect(named.filter((path) => !existsSync(installed(path)))).toEqual([]);
  });

  (existsSync(ANALYZE) ? it : it.skip).each(PARTS)('gives the %s a unit that systemd takes without a word', async (part) => {
    // Only our unit: those that it is ordered after are not below this root.
    const argv = [ANALYZE, 'verify', `--root=${root}`, '--man=no', '--recursive-errors=no', `holdfast-${part}.service`];
    expect(await tryRun(argv)).toMatchObject({ exitCode: 0, stderr: '' });
  });

  it.each(PARTS)('gives the %s a unit that nothing which is away for a while ends for good', async (part) => {
    const unit = await readFile(installed(`/lib/systemd/system/holdfast-${part}.service`), 'utf8');
    const [head = '', service = ''] = unit.split('[Service]\n');
    expect(head.split('\n')).toContain('StartLimitIntervalSec=0');
    expect(service.split('\n')).toContain('Restart=always');
    // A command before the program, or a unit that must be there, would keep it away.
    expect(unit).not.toMatch(/^(ExecStartPre|ExecCondition|Requires|BindsTo|Condition\w+|Assert\w+)=/m);
  });

  it('puts programs into the path, and the restore script on KVM hosts', async () => {
    const names = await readdir(installed('/usr/bin'));
    expect(names.sort()).toEqual(['holdfast-agent', 'holdfast-manager', 'holdfast-restore.sh']);
    for (const name of names) await access(installed(`/usr/bin/${name}`), constants.X_OK);
    const lib = installed('/usr/lib/holdfast-agent');
    // The launcher names files of the installed system, and tells Node what the tests tell it.
    const launcher = await readFile(`${lib}/bin/holdfast-agent`, 'utf8');
    const told = commandOf('agent').slice(1, -1).join(' ');
    expect(launcher).toContain(`\nexec /usr/lib/holdfast-agent/bin/node ${told} /usr/lib/holdfast-agent/dist/main.js "$@"\n`);
    expect(await run([`${lib}/bin/node`, `${lib}/dist/main.js`, '--help'])).toContain('Usage: holdfast-agent');
  });

  it.each(['/usr/bin', '/usr/lib/holdfast-agent/bin', '/usr/lib/holdfast-manager/bin'])(
    'brings a restore script that explains itself, in %s',
    async (folder) => {
      const { exitCode, stderr } = await tryRun([installed(`${folder}/holdfast-restore.sh`)]);
      expect(exitCode).toBe(2);
      expect(stderr).toContain('holdfast-restore.sh STORAGE_ROOT BACKUP_FOLDER DESTINATION');
    },
  );

  it.each(PARTS)('brings the documents that the README of the %s leads to', async (part) => {
    const folder = installed(`/usr/share/doc/holdfast-${part}`);
    const links = [...(await readFile(join(folder, 'README.md'), 'utf8')).matchAll(/\]\(([^):]+)\)/g)].map(
      ([, link = '']) => link,
    );
    expect(links).toContain('docs/files.md');
    expect(links.filter((link) => !existsSync(join(folder, link)))).toEqual([]);
  });

  it('leaves a configuration alone that is there, and brings the example where there is none', async () => {
    expect(await readFile(installed('/etc/holdfast-manager/manager.yaml'), 'utf8')).toBe(OWN_CONFIGURATION);
    const example = await readFile(join(repositoryRoot, 'deploy/agent.example.yaml'), 'utf8');
    expect(await readFile(installed('/etc/holdfast-agent/agent.yaml'), 'utf8')).toBe(example);
    expect((await stat(installed('/etc/holdfast-agent/agent.yaml'))).mode & 0o777).toBe(0o640);
  });
});

/** Absolute paths in the settings of a unit. */
function pathsIn(unit: string): string[] {
  const settings = unit.split('\n').filter((line) => !line.startsWith('#'));
  return settings.flatMap((line) => [...line.replaceAll('file://', '').matchAll(/(?<=[\s=])\/[\w./-]+/g)].map(([path]) => path));
}
