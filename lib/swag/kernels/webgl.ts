/** The fused second moment on the WebGL backend: one packed program a tensor, into a new texture. */
import { elementwise, type WebGlBackend } from '../../average/kernels/webgl.js';
import type { AddSquares } from './contract.js';

export function webglSquares(backend: WebGlBackend, share: number): AddSquares | null {
  const deviation = '(getCAtOutCoords() - getBAtOutCoords())';
  return elementwise(backend, share, {
    inputs: ['A', 'B', 'C'],
    result: `getAAtOutCoords() + ${deviation} * ${deviation} * factor`,
  });
}
