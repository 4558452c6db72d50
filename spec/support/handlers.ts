/** Handlers that specs save checkpoints through, each as a real one treats what it is handed. */
import * as tf from '@tensorflow/tfjs-core';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** What a handler gives back of a save. */
const SAVED: tf.io.SaveResult = {
  modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' },
};

/** A handler that keeps the very artifacts, and hands them out. */
export class Memory implements tf.io.IOHandler {
  artifacts: tf.io.ModelArtifacts = {};

  async save(artifacts: tf.io.ModelArtifacts): Promise<tf.io.SaveResult> {
    this.artifacts = artifacts;
    return SAVED;
  }

  async load(): Promise<tf.io.ModelArtifacts> {
    return this.artifacts;
  }
}

/** What tfjs-node's `file://` makes of artifacts: a text of JSON, and bytes (4.22, file_system.ts). */
export class JsonAndBytes implements tf.io.IOHandler {
  json = '';
  bytes = Buffer.alloc(0);

  async save({
    weightSpecs,
    weightData,
    ...others
  }: tf.io.ModelArtifacts): Promise<tf.io.SaveResult> {
    const weightsManifest = [{ paths: ['weights.bin'], weights: weightSpecs }];
    this.json = JSON.stringify({ ...others, weightsManifest });
    this.bytes = Buffer.from(Buffer.from(weightData as ArrayBuffer)); // the second one copies
    return SAVED;
  }

  async load(): Promise<tf.io.ModelArtifacts> {
    const { weightsManifest, ...others } = JSON.parse(this.json) as tf.io.ModelJSON;
    const weightSpecs = weightsManifest[0]!.weights;
    return { ...others, weightSpecs, weightData: new Uint8Array(this.bytes).buffer };
  }
}

/** Runs `f` with an empty folder that is removed afterwards. */
export async function inFolder<T>(f: (folder: string) => T | Promise<T>): Promise<T> {
  const folder = mkdtempSync(path.join(tmpdir(), 'tfjs-swa-'));
  try {
    return await f(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
