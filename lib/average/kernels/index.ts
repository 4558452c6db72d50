/**
 * `import 'tfjs-swa/kernels'`: the averages of SWA and AveragedModel, equal and exponential, are
 * updated in place by one fused kernel on the backends below. It exports nothing and imports no
 * backend; before or after a backend's own import, once in a program, is enough.
 */
import { register } from './contract.js';
import { cpuAverage } from './cpu.js';
import { nodeAverage } from './node.js';
import { wasmAverage } from './wasm.js';
import { webglAverage } from './webgl.js';
import { webgpuAverage } from './webgpu.js';

register('cpu', cpuAverage);
register('wasm', wasmAverage);
register('webgl', webglAverage);
register('webgpu', webgpuAverage);
register('tensorflow', nodeAverage);
