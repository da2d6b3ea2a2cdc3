import { describe, expect, it } from '@jest/globals';
import { HoldfastError } from '../errors/holdfast-error.js';
import { fromWireError, toWireError } from './grpc-error.js';

describe('errors on the wire', () => {
  it('come back as they were, with the status of their code', () => {
    const error = new HoldfastError('STORAGE_FULL', 'No room on "é".', { storageId: 's' });
    const wire = toWireError(error);
    expect(wire).toMatchObject({ code: 8, details: 'No room on "é".' });
    expect(fromWireError(wire.bytes)?.toData()).toEqual(error.toData());
  });

  it('stay small enough for a header', () => {
    const wire = toWireError(new HoldfastError('TOOL_FAILED', 'm'.repeat(9_000), { stderr: `${'x'.repeat(9_000)}the reason` }));
    expect(wire.bytes.length).toBeLessThan(4_000);
    expect(fromWireError(wire.bytes)?.fields['stderr']).toMatch(/the reason$/);
  });

  it('are nothing when the bytes are from somebody else', () => {
    expect(fromWireError(new TextEncoder().encode('hello'))).toBeUndefined();
    expect(fromWireError(new TextEncoder().encode('{"code":1}'))).toBeUndefined();
  });
});
