/** The configuration: the file, the environment over it, and errors that name the key. */
import { describe, expect, it } from '@jest/globals';
import { parseConfig } from './load-config.js';

describe('parseConfig', () => {
  it('has a default for everything', () => {
    expect(parseConfig('', 'f', {})).toMatchObject({
      dataDir: '/var/lib/holdfast-manager',
      rest: { listen: '0.0.0.0:8443' },
      leaseSeconds: 30,
    });
  });

  it('the environment goes over the file', () => {
    const config = parseConfig('dataDir: /a\nrest: {listen: "h:1"}\n', 'f', {
      HOLDFAST_DATA_DIR: '/b',
      HOLDFAST_REST_LISTEN: '[::1]:2',
      DATABASE_URL: 'postgres://h/d',
    });
    expect(config).toMatchObject({ dataDir: '/b', rest: { listen: '[::1]:2' }, databaseUrl: 'postgres://h/d' });
  });

  it.each([
    ['dataDri: /a', /dataDri/],
    ['dataDir: relative', /dataDir: must be an absolute path/],
    ['rest: {listen: nothing}', /rest\.listen: must be host:port/],
    ['tls: {keyFile: /k}', /certificateFile and keyFile/],
    ['databaseUrl: mysql://x', /databaseUrl: must begin with postgres/],
    ['a: [', /not valid YAML/],
    ['- a', /key: value/],
  ])('refuses %j', (text, message) => {
    expect(() => parseConfig(text, '/etc/f.yaml', {})).toThrow(
      expect.objectContaining({ code: 'CONFIGURATION_INVALID', message: expect.stringMatching(message) }),
    );
  });
});
