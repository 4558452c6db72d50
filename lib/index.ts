/** The public face of tfjs-swa, name by name. */
export { SWA, type SWAOptions } from './optimizer/swa.js';
export { emaAvgFn, swaAvgFn, type AvgFn } from './average/average.js';
export { finiteOnly } from './average/finite.js';
export {
  AveragedModel,
  type AveragedModelOptions,
  type AveragedModelStateDict,
  type LayersModelLike,
} from './average/averaged_model.js';
export {
  LambdaLR,
  SWALR,
  type LRSchedulerStateDict,
  type SWALROptions,
  type SWALRStateDict,
} from './schedule/lr_scheduler.js';
export {
  constant,
  cosineAnnealing,
  cyclic,
  linear,
  sequence,
  triangular,
  type Schedule,
  type SchedulePhase,
} from './schedule/schedules.js';
export { loadStateDict, saveStateDict } from './checkpoint/checkpoint.js';
export type { StateTree } from './state/state_tree.js';
export type { ParamGroup, ParamGroupOptions } from './optimizer/param_groups.js';
export type { ParamGroupState, SWAStateDict } from './state/state_dict.js';
export type { NamedTensor, TensorData } from './state/tensor_data.js';
export type { BnBatch, BnInput, BnLoader } from './batchnorm/batches.js';
export { updateBn, type BnUpdateOptions } from './batchnorm/update_bn.js';
export {
  swaCallback,
  type FittedModel,
  type SwaCallback,
  type SwaCallbackOptions,
} from './fit/swa_callback.js';
