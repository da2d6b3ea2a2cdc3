/** Descriptions of our services for gRPC reflection: made from proto/ by the build, beside the shared package's code. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { ReflectionService } from '@grpc/reflection';
import protoLoader from '@grpc/proto-loader';

/** Throws when the build made no descriptors: found by the package's name, so that an installed manager has them, too. */
export async function managerReflection(): Promise<ReflectionService> {
  const descriptors = await readFile(createRequire(import.meta.url).resolve('@holdfast/shared/manager.binpb'));
  return new ReflectionService(protoLoader.loadFileDescriptorSetFromBuffer(descriptors), {
    services: ['holdfast.manager.v1.Manager'],
  });
}
