/** Descriptions of our services for gRPC reflection: made from proto/ by the build. */
import { readFile } from 'node:fs/promises';
import { ReflectionService } from '@grpc/reflection';
import protoLoader from '@grpc/proto-loader';

const DESCRIPTORS = new URL('../../../../../packages/shared/dist/holdfast.binpb', import.meta.url);

/** undefined when the build made no descriptors. */
export async function managerReflection(): Promise<ReflectionService | undefined> {
  const descriptors = await readFile(DESCRIPTORS).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (descriptors === undefined) return undefined;
  return new ReflectionService(protoLoader.loadFileDescriptorSetFromBuffer(descriptors), {
    services: ['holdfast.manager.v1.Manager'],
  });
}
