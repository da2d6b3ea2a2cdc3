/**
 * The programs that mount(8) calls for types which the kernel does not mount from plain words, and the Debian packages that
 * bring them. Owns this list; mounts nothing.
 */
import { findTool } from '../process/find-tool.js';

/** Type of a storage → Debian package of its `mount.<type>`. Types that are not here need none. */
const PACKAGES: Readonly<Record<string, string>> = {
  nfs4: 'nfs-common',
  nfs: 'nfs-common',
  cifs: 'cifs-utils',
  ceph: 'ceph-common',
};

/** Where mount(8) looks for helpers, and nowhere else: PATH does not count. */
export const HELPER_DIRECTORIES: readonly string[] = ['/sbin', '/sbin/fs.d', '/sbin/fs'];

export interface MountHelper {
  /** `mount.nfs4` */
  readonly name: string;
  readonly inPackage: string;
}

/** The helper of this type when this host lacks it; undefined when it is here, or when the type has none. */
export async function missingHelper(type: string, directories: readonly string[]): Promise<MountHelper | undefined> {
  const inPackage = PACKAGES[type];
  const name = `mount.${type}`;
  if (inPackage === undefined || (await findTool(name, directories)) !== undefined) return undefined;
  return { name, inPackage };
}

/** A sentence for each helper: whether this host has it. */
export async function describeHelpers(directories: readonly string[]): Promise<string[]> {
  return Promise.all(
    Object.keys(PACKAGES).map(async (type) => {
      const missing = await missingHelper(type, directories);
      return missing === undefined
        ? `mount.${type} is here, for storages of type ${type}.`
        : `${missing.name} is not here; storages of type ${type}, if there are any, want the package ${missing.inPackage}.`;
    }),
  );
}
