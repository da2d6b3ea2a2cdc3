/** Ends a child that leads a process group, with everything that it started. A group that is gone already is fine. */
export function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended between our look and our signal.
  }
}
