/** Which file replaces which disk, what comes back, what is merged. */
import { describe, expect, it } from '@jest/globals';
import { planRestore, type RestoreFacts } from './plan-restore.js';

const volume = (id: string, target: string, attached = true) => ({
  id,
  target,
  attached,
  basePath: `/p/${id}.qcow2`,
  templatePath: null,
  layers: [{ path: `/p/${id}.d1` }, { path: `/p/${id}.qcow2` }],
});
const facts = (change: Partial<RestoreFacts>): RestoreFacts => ({
  operationId: 'abcdef12-0000',
  vmIsGone: false,
  backupName: 'b',
  backupVolumes: [{ key: 'A', target: 'vda' }],
  volumes: [volume('A', 'vda')],
  deltas: [],
  overlays: [],
  ...change,
});

describe('planRestore', () => {
  it('a new file beside the base; what is attached now is what is replaced', () => {
    expect(planRestore(facts({})).volumes).toEqual([
      { key: 'A', target: 'vda', currentPath: '/p/A.d1', newPath: '/p/A.abcdef12.restored.qcow2', templatePath: '' },
    ]);
  });

  it('a disk that is at another target now is replaced there', () => {
    expect(planRestore(facts({ volumes: [volume('A', 'sdb')] })).volumes[0]).toMatchObject({
      target: 'sdb',
      currentPath: '/p/A.d1',
    });
  });

  it.each([
    ['its target of then', [volume('A', 'vda', false)], 'vda'],
    ['the next free one when that is taken', [volume('A', 'vda', false), volume('B', 'vda'), volume('C', 'vdb')], 'vdc'],
  ])('a detached disk comes back at %s', (_what, volumes, target) => {
    expect(planRestore(facts({ volumes })).volumes[0]).toMatchObject({ target, currentPath: '' });
  });

  it('volumes that the backup does not know keep their content; their deltas are merged', () => {
    const plan = planRestore(
      facts({
        volumes: [volume('A', 'vda'), volume('N', 'vdb')],
        deltas: [
          { volumeId: 'N', backupId: 'b', path: '/p/N.d1', state: 'Present' },
          { volumeId: 'A', backupId: 'b', path: '/p/A.d1', state: 'Present' },
        ],
      }),
    );
    expect(plan.mergeVolumes).toMatchObject([{ target: 'vdb', deltaPaths: ['/p/N.d1'], pins: [] }]);
  });

  it('of a VM that is gone nothing is replaced and nothing merged', () => {
    const plan = planRestore(
      facts({
        vmIsGone: true,
        volumes: [volume('A', 'vda'), volume('N', 'vdb')],
        deltas: [{ volumeId: 'N', backupId: 'b', path: '/p/N.d1', state: 'Present' }],
      }),
    );
    expect(plan.volumes[0]).toMatchObject({ target: 'vda', currentPath: '' });
    expect(plan.mergeVolumes).toEqual([]);
  });
});
