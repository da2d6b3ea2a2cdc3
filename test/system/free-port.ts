/** Finds TCP ports nobody listens on. A port may be taken between the look and its use; whoever listens says so then. */
import { createServer } from 'node:net';

const given = new Set<number>();

/** A free port of 127.0.0.1, never the same one twice in a process. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = await new Promise<number>((resolve, reject) => {
      const server = createServer();
      server.once('error', reject);
      server.listen(0, '127.0.0.1', () => {
        const address = server.address();
        server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
      });
    });
    if (given.has(port)) continue;
    given.add(port);
    return port;
  }
}
