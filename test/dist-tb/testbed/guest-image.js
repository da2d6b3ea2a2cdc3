/**
 * Builds the kernel and initramfs every test VM boots, once, and keeps them under a key of their content.
 * Owns <work>/guest; changes nothing else on the machine. Needs the network only the first time.
 */
import { createHash } from 'node:crypto';
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { run, tryRun } from './command.js';
import { guestModules, guestScripts } from './guest-init.js';
import { workDir } from './work-dir.js';
const parts = ['busybox-static', 'qemu-guest-agent', 'b3sum', 'libc6', 'kmod'];
const programs = { '/usr/sbin/qemu-ga': 'usr/sbin/qemu-ga', '/usr/bin/b3sum': 'usr/bin/b3sum' };
/** Returns the guest image, building it when it is not there yet. Several processes may call it at once. */
export async function guestImage() {
    const dir = join(workDir(), 'guest', await contentKey());
    const image = { kernel: join(dir, 'vmlinuz'), initramfs: join(dir, 'initramfs.gz') };
    if (await exists(image.initramfs))
        return image;
    await mkdir(dirname(dir), { recursive: true, mode: 0o755 });
    const scratch = await mkdtemp(`${dir}.building-`);
    try {
        await build(scratch);
        await rename(scratch, dir);
    }
    catch (error) {
        // Another process may have finished the same image first; its copy is as good as ours.
        if (!(await exists(image.initramfs)))
            throw error;
    }
    finally {
        await rm(scratch, { recursive: true, force: true });
    }
    return image;
}
async function contentKey() {
    const versions = await run(['dpkg-query', '-W', '-f=${Package} ${Version}\n', ...parts]);
    const hash = createHash('sha256').update(versions);
    hash.update(JSON.stringify([guestModules, guestScripts]));
    return hash.digest('hex').slice(0, 16);
}
async function build(out) {
    const root = join(out, 'root');
    const unpacked = join(out, 'kernel');
    await mkdir(root, { recursive: true });
    await run(['dpkg-deb', '-x', await kernelPackage(), unpacked]);
    const kernel = (await readdir(join(unpacked, 'boot'))).find((name) => name.startsWith('vmlinuz-'));
    if (kernel === undefined)
        throw new Error('the kernel package holds no vmlinuz');
    const version = kernel.slice('vmlinuz-'.length);
    await copyFile(join(unpacked, 'boot', kernel), join(out, 'vmlinuz'));
    await addModules(unpacked, root, version);
    await addPrograms(root);
    for (const [path, script] of Object.entries(guestScripts)) {
        await mkdir(dirname(join(root, path)), { recursive: true });
        await writeFile(join(root, path), script, { mode: 0o755 });
    }
    const files = await run(['find', '.'], { cwd: root });
    const cpio = join(out, 'initramfs');
    await run(['cpio', '--quiet', '-o', '-H', 'newc', '-R', '0:0', '-F', cpio], { cwd: root, input: files });
    await run(['gzip', '-1', '-n', cpio]);
    await rm(root, { recursive: true });
    await rm(unpacked, { recursive: true });
    await chmod(join(out, 'vmlinuz'), 0o644);
    await chmod(out, 0o755);
}
/** The unpackable file of Debian's cloud kernel, downloaded when it is not kept yet. */
async function kernelPackage() {
    const dir = join(workDir(), 'kernel');
    await mkdir(dir, { recursive: true, mode: 0o755 });
    const kept = (await readdir(dir)).find((name) => name.endsWith('.deb'));
    if (kept !== undefined)
        return join(dir, kept);
    const scratch = await mkdtemp(`${dir}/download-`);
    try {
        const name = (await kernelName()) ?? (await run(['apt-get', 'update', '-qq']), await kernelName());
        if (name === undefined)
            throw new Error('apt knows no linux-image-cloud-amd64; add a Debian package source');
        await run(['apt-get', 'download', '-qq', '-o', 'APT::Sandbox::User=root', name], { cwd: scratch, timeoutMs: 600_000 });
        const file = (await readdir(scratch)).find((entry) => entry.endsWith('.deb'));
        if (file === undefined)
            throw new Error(`apt-get download left no file for ${name}`);
        await rename(join(scratch, file), join(dir, file));
        return join(dir, file);
    }
    finally {
        await rm(scratch, { recursive: true, force: true });
    }
}
async function kernelName() {
    const shown = await tryRun(['apt-cache', 'depends', 'linux-image-cloud-amd64']);
    return /Depends: (linux-image-\S+)/.exec(shown.stdout)?.[1];
}
/** Copies the wanted modules with everything they depend on, at the places modprobe expects. */
async function addModules(unpacked, root, version) {
    await run(['depmod', '-b', unpacked, version]);
    const shown = await Promise.all(guestModules.map((name) => run(['modprobe', '-d', unpacked, '-S', version, '--show-depends', name])));
    const wanted = new Set([...shown.join('\n').matchAll(/^insmod (\S+)/gm)].map((match) => match[1]));
    for (const file of wanted) {
        const target = join(root, file.slice(unpacked.length));
        await mkdir(dirname(target), { recursive: true });
        await copyFile(file, target);
    }
    const index = join(unpacked, 'lib/modules', version);
    for (const name of ['modules.order', 'modules.builtin', 'modules.builtin.modinfo']) {
        await copyFile(join(index, name), join(root, 'lib/modules', version, name));
    }
    await run(['depmod', '-b', root, version]);
}
async function addPrograms(root) {
    await mkdir(join(root, 'bin'), { recursive: true });
    await mkdir(join(root, 'sbin'), { recursive: true });
    await copyFile('/bin/busybox', join(root, 'bin/busybox'));
    const libraries = new Set();
    for (const [from, to] of Object.entries(programs)) {
        await mkdir(dirname(join(root, to)), { recursive: true });
        await copyFile(from, join(root, to));
        for (const match of (await run(['ldd', from])).matchAll(/(\/\S+\.so\S*) \(0x/g))
            libraries.add(match[1]);
    }
    for (const library of libraries) {
        const folder = library.startsWith('/lib64/') ? 'lib64' : 'lib';
        await mkdir(join(root, folder), { recursive: true });
        await writeFile(join(root, folder, basename(library)), await readFile(library), { mode: 0o755 });
    }
}
async function exists(path) {
    return stat(path).then(() => true, () => false);
}
