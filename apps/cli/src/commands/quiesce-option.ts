/** The option by which a command that takes a moment of a VM says whether the guest is frozen for it. Owns its words and choices. */
import { Option } from 'commander';

/** `--quiesce` alone means "require"; without it nothing is frozen. */
export function quiesceOption(): Option {
  return new Option(
    '--quiesce [mode]',
    'freeze the file systems through the guest agent; "try": go on without if it does not answer',
  )
    .choices(['require', 'try', 'no'])
    .preset('require');
}
