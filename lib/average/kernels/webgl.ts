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
  if (!hasMethods(backend, 'runWebGLProgram') || !tf.env().get('WEBGL_PACK')) return null;
  return (average, value) => {
    const inputs = [average, value].map(({ dataId, shape, dtype }) => ({ dataId, shape, dtype }));
    const info = backend.runWebGLProgram(program(average.shape), inputs, 'float32', [[weight]]);
    const next = tf.engine().makeTensorFromTensorInfo(info);
    average.assign(next);
    next.dispose();
    return true;
  };
}

/** A program as the backend's `runWebGLProgram` takes it. */
function program(outputShape: number[]): object {
  return {
    variableNames: ['A', 'B'],
    customUniforms: [{ name: 'weight', type: 'float' }],
    outputShape,
    packedInputs: true,
    packedOutput: true,
    userCode: `
      void main() {
        vec4 average = getAAtOutCoords();
        setOutput(average + (getBAtOutCoords() - average) * weight);
      }`,
  };
}
