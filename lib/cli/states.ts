/**
 * Merges checkpoints of ours, whose averages are weighted by how many values they hold. It knows
 * nothing of the command line.
 */
import type { SWAStateDict } from '../state/state_dict.js';
import { Refusal } from './refusal.js';
import { createSafetensors } from './tensors/safetensors_output.js';
import type { Output } from './tensors/source.js';

/**
 * Merges as `mergeStateDicts` does.
 *
 * @param hold Receives the file that is written, before anything is.
 * @returns How many tensors there are.
 * @throws Refusal in its words, with the file's name.
 */
export async function mergeStates(
  files: readonly string[],
  out: string,
  hold: (output: Output) => void,
): Promise<number> {
  // tfjs comes with these, and takes longer to start than all else.
  const [{ loadStateDict }, { layOut }, { fileSystem }, tensors, { mergeStateDicts }, tree] =
    await Promise.all([
      import('../checkpoint/checkpoint.js'),
      import('../checkpoint/safetensors.js'),
      import('../checkpoint/file_system.js'),
      import('../checkpoint/tensor_bytes.js'),
      import('../merge/merge_state_dicts.js'),
      import('../state/state_tree.js'),
    ]);
  async function* states(): AsyncGenerator<SWAStateDict> {
    for (const file of files) yield await loadStateDict(fileSystem(file));
  }
  const merged = await mergeStateDicts(states()).catch((error: unknown) => {
    const { message } = error as Error;
    throw new Refusal(message.replace(/states\[(\d+)\]/, (_, i: string) => files[Number(i)]!));
  });
  const { text, leaves } = tree.flatten(merged, tensors.isTensorData);
  const stored = new Map([...leaves].map(([key, data]) => [key, tensors.toStored(data)]));
  const layout = layOut(text, stored);
  const output = await createSafetensors(out, layout.head, layout.digitsAt);
  hold(output);
  try {
    for (const { bytes } of layout.tensors) await output.write(bytes);
    await output.commit();
  } catch (error) {
    output.discard();
    throw error;
  }
  return layout.tensors.length;
}
