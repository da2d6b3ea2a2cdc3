import { describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { agentConfigSchema, parseAgentConfig, readAgentConfig } from './agent-config.js';

describe('agent configuration', () => {
  it('needs the pools only; everything else has a default', () => {
    expect(parseAgentConfig('primaryPools: [/var/lib/libvirt/images/]', 'f')).toMatchObject({
      listen: '0.0.0.0:7443',
      primaryPools: ['/var/lib/libvirt/images'],
      maxConcurrentOperations: 0,
      libvirtUri: 'qemu:///system',
    });
  });

  it.each([
    ['', 'primaryPools'],
    ['primaryPools: []', 'primaryPools'],
    ['primaryPools: [images]', 'primaryPools.0'],
    ['primaryPools: [/a]\nlisten: 7443', 'listen'],
    ['primaryPools: [/a]\nmaxOperations: 3', 'maxOperations'],
    ['primaryPools: [/a]\nlogLevel: loud', 'logLevel'],
  ])('names file and key of what is wrong: %j', (text, key) => {
    expect(() => parseAgentConfig(text, '/etc/a.yaml')).toThrow(
      expect.objectContaining({ code: 'CONFIGURATION_INVALID', fields: { file: '/etc/a.yaml', key } }),
    );
  });

  it('says when the file is not there or not YAML', async () => {
    await expect(readAgentConfig('/nonexistent/agent.yaml')).rejects.toMatchObject({ code: 'CONFIGURATION_INVALID' });
    expect(() => parseAgentConfig('a: [', 'f')).toThrow(expect.objectContaining({ code: 'CONFIGURATION_INVALID' }));
  });

  it('has an example that is valid and shows every setting with its default', async () => {
    const text = await readFile(join(process.cwd(), 'deploy/agent.example.yaml'), 'utf8');
    expect(parseAgentConfig(text, 'example')).toEqual(parseAgentConfig('primaryPools: [/var/lib/libvirt/images]', 'f'));
    for (const key of Object.keys(agentConfigSchema.shape)) expect(text).toMatch(new RegExp(`^${key}:`, 'm'));
  });
});
