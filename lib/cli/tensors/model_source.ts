/** A `model.json` of tfjs, with its shards, as a source of tensors. It knows nothing of averages. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { invalid } from '../../check.js';
import { checkRegular, explained } from '../../checkpoint/file_errors.js';
import { MAX_HEADER } from '../../checkpoint/safetensors.js';
import { openFile, readAt } from '../../checkpoint/safetensors_file.js';
import { visitKeys } from '../../state/json_text.js';
import { createModel, type ModelJson } from './model_output.js';
import { Segments, type Segment } from './segments.js';
import type { Source, Tensor } from './source.js';
import { weightOf } from './weight_spec.js';

/** Levels of lists and records in one another; a model in a model has some ten more. */
const MAX_DEPTH = 1000;

const KINDS = new Map<unknown, string>([
  ['layers-model', 'a tfjs layers model'],
  ['graph-model', 'a tfjs graph model'],
]);

/**
 * Opens a model. Nothing of it is trusted: its weights are to fill its shards.
 *
 * @param file As the user calls it.
 * @throws Error that says what is wrong with it.
 */
export function openModel(file: string): Promise<Source> {
  return explained('load', file, open(file));
}

async function open(file: string): Promise<Source> {
  const model = await readJson(file);
  const tensors: Tensor[] = [];
  const segments: Segment[] = [];
  let end = 0;
  for (const [g, { paths, weights }] of model.weightsManifest.entries()) {
    const begin = end;
    for (const [i, spec] of weights.entries()) {
      const weight = weightOf(spec, `weightsManifest[${g}].weights[${i}]`);
      tensors.push({ ...weight, begin: end });
      end += weight.size;
    }
    let size = 0;
    for (const name of paths) {
      const shard = path.join(path.dirname(file), name);
      segments.push({ file: shard, start: 0, size: await explained('load', shard, sizeOf(shard)) });
      size += segments.at(-1)!.size;
    }
    // Where a size is not known, no weight is read.
    if (size !== end - begin && !Number.isNaN(end)) {
      throw new Error(`its shards have ${size} bytes, and its weights ask for ${end - begin}`);
    }
  }
  const bytes = new Segments(segments);
  const { format, generatedBy, convertedBy } = model;
  return {
    path: file,
    kind: KINDS.get(format) ?? 'a tfjs model',
    notes: Object.entries({ shards: segments.length, generatedBy, convertedBy }).flatMap(
      ([key, value]) =>
        typeof value === 'string' || typeof value === 'number' ? `${key}: ${value}` : [],
    ),
    tensors,
    read: (into, from) => bytes.read(into, from),
    close: () => bytes.close(),
    create: (out) => createModel(out, model, segments),
  };
}

async function sizeOf(file: string): Promise<number> {
  const stats = await stat(file);
  checkRegular(stats);
  return stats.size;
}

async function readJson(file: string): Promise<ModelJson> {
  const { handle, size } = await openFile(file);
  let model: unknown;
  try {
    if (size >= MAX_HEADER) throw new Error(`it has ${size} bytes, and may have ${MAX_HEADER}`);
    const bytes = new Uint8Array(size);
    await readAt(handle, bytes, 0);
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    visitKeys(text, MAX_DEPTH);
    model = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error;
    throw new Error('it is no JSON, or damaged', { cause: error });
  } finally {
    await handle.close();
  }
  const { modelTopology, weightsManifest } = Object(model) as Partial<ModelJson>;
  const { format } = Object(modelTopology) as { format?: unknown };
  if (format === 'tfjs-swa checkpoint') {
    throw new Error(
      'it is a checkpoint of tfjs-swa in two files: load it, and save it with fileSystem(path)',
    );
  }
  if (!Array.isArray(weightsManifest)) {
    return invalid('weightsManifest', weightsManifest, 'a list, as model.json has one');
  }
  weightsManifest.forEach((group, g) => {
    const { paths, weights } = Object(group) as Record<string, unknown>;
    const label = `weightsManifest[${g}]`;
    if (!Array.isArray(weights)) invalid(`${label}.weights`, weights, 'a list');
    if (!Array.isArray(paths) || !paths.every(isInside)) {
      invalid(`${label}.paths`, paths, 'names of files beside it');
    }
  });
  return model as ModelJson;
}

/** Whether a path leads to the model's own folder or below. */
function isInside(name: unknown): boolean {
  return typeof name === 'string' && !path.isAbsolute(name) && !name.split(/[/\\]/).includes('..');
}
