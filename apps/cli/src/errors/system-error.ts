/** Reads codes and causes of errors that Node throws, whatever realm they come from. Pure. */

/** `ENOENT`, `ECONNREFUSED`, …; undefined for an error without a code. */
export function systemCode(error: unknown): string | undefined {
  const code = property(error, 'code');
  return typeof code === 'string' ? code : undefined;
}

/** What lies under an error: its cause when it has one, else itself. */
export function causeOf(error: unknown): unknown {
  return property(error, 'cause') ?? error;
}

/** The message of an error, or the thing itself as text. */
export function messageOf(error: unknown): string {
  const message = property(error, 'message');
  return typeof message === 'string' ? message : String(error);
}

function property(value: unknown, name: 'code' | 'cause' | 'message'): unknown {
  return typeof value === 'object' && value !== null && name in value ? (value as Record<string, unknown>)[name] : undefined;
}
