/** The fused second moment on the WebGL backend: one packed program a tensor, into a new texture. */
import * as tf from '@tensorflow/tfjs-core';
import { hasMethods } from '../../average/kernels/contract.js';
import type { WebGlBackend } from '../../average/kernels/webgl.js';
import type { AddSquares } from './contract.js';

export function webglSquares(backend: WebGlBackend, share: number): AddSquares | null {
  if (!hasMethods(backend, 'runWebGLProgram') || !tf.env().get('WEBGL_PACK')) return null;
  return (sum, mean, value) => {
    const inputs = [sum, mean, value].map(({ dataId, shape, dtype }) => ({ dataId, shape, dtype }));
    const info = backend.runWebGLProgram(program(sum.shape), inputs, 'float32', [[share]]);
    const next = tf.engine().makeTensorFromTensorInfo(info);
    sum.assign(next);
    next.dispose();
    return true;
  };
}

/** A program as the backend's `runWebGLProgram` takes it. */
function program(outputShape: number[]): object {
  return {
    variableNames: ['A', 'B', 'C'],
    customUniforms: [{ name: 'share', type: 'float' }],
    outputShape,
    packedInputs: true,
    packedOutput: true,
    userCode: `
      void main() {
        vec4 deviation = getCAtOutCoords() - getBAtOutCoords();
        setOutput(getAAtOutCoords() + deviation * deviation * share);
      }`,
  };
}
