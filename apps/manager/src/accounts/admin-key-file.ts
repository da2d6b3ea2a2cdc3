/** The file with the first administrator's key: readable by its owner alone, whole or not there. */
import { open, rename } from 'node:fs/promises';

export async function writeAdminKey(path: string, secret: string): Promise<void> {
  const partial = `${path}.partial`;
  const handle = await open(partial, 'w', 0o600);
  try {
    await handle.chmod(0o600);
    await handle.writeFile(`${secret}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(partial, path);
}
