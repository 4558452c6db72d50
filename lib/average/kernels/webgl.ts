/**
 * The fused update on the WebGL backend: one packed program a tensor. A texture cannot be read and
 * written at once, so the average moves into a new one, which the backend takes from its pool, and
 * the old one goes back there. It knows nothing of averages beyond the weight.
 */
import * as tf from '@tensorflow/tfjs-core';
import { hasMethods, type Update } from './contract.js';

/** What of the WebGL backend is used (tfjs-backend-webgl 4.22, backend_webgl.ts). */
export interface WebGlBackend {
  runWebGLProgram?(
    program: object,
    inputs: tf.TensorInfo[],
    dtype: string,
    uniforms: number[][],
  ): tf.TensorInfo;
}

export function webglAverage(backend: WebGlBackend, weight: number): Update | null {
  return elementwise(backend, weight, {
    inputs: ['A', 'B'],
    result: 'getAAtOutCoords() + (getBAtOutCoords() - getAAtOutCoords()) * factor',
  });
}

/** What becomes of the first of some tensors of one shape, element by element. */
export interface Elementwise {
  /** What the tensors are called in the expression. */
  readonly inputs: readonly [string, ...string[]];
  /** An expression of GLSL, a vec4, of `getNAMEAtOutCoords()` and `factor`. */
  readonly result: string;
}

/** Runs it; `null` where the backend lacks what it needs. */
export function elementwise(
  backend: WebGlBackend,
  factor: number,
  what: Elementwise,
): ((first: tf.Variable, ...others: tf.Tensor[]) => boolean) | null {
  if (!hasMethods(backend, 'runWebGLProgram') || !tf.env().get('WEBGL_PACK')) return null;
  return (first, ...others) => {
    const inputs = [first, ...others].map(({ dataId, shape, dtype }) => ({ dataId, shape, dtype }));
    const made = program(what, first.shape);
    const info = backend.runWebGLProgram(made, inputs, 'float32', [[factor]]);
    const next = tf.engine().makeTensorFromTensorInfo(info);
    first.assign(next);
    next.dispose();
    return true;
  };
}

/** A program as the backend's `runWebGLProgram` takes it. */
function program({ inputs, result }: Elementwise, outputShape: number[]): object {
  return {
    variableNames: inputs,
    customUniforms: [{ name: 'factor', type: 'float' }],
    outputShape,
    packedInputs: true,
    packedOutput: true,
    userCode: `
      void main() {
        setOutput(${result});
      }`,
  };
}
