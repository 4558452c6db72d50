/** The public face of tfjs-swa, name by name. */
export { SWA, type SWAOptions } from './swa.js';
export { emaAvgFn, swaAvgFn, type AvgFn } from './average.js';
export {
  AveragedModel,
  type AveragedModelOptions,
  type AveragedModelStateDict,
  type LayersModelLike,
} from './averaged_model.js';
export {
  LambdaLR,
  SWALR,
  type LRSchedulerStateDict,
  type SWALROptions,
  type SWALRStateDict,
} from './lr_scheduler.js';
export {
  constant,
  cosineAnnealing,
  cyclic,
  linear,
  sequence,
  triangular,
  type Schedule,
  type SchedulePhase,
} from './schedules.js';
export { loadStateDict, saveStateDict, type CheckpointHandler } from './checkpoint.js';
export type { StateTree } from './state_tree.js';
export type { ParamGroup, ParamGroupOptions } from './param_groups.js';
export type { ParamGroupState, SWAStateDict } from './state_dict.js';
export type { NamedTensor, TensorData } from './tensor_data.js';
export type { BnBatch, BnInput, BnLoader } from './batches.js';
export { updateBn, type BnUpdateOptions } from './bn_update.js';
export {
  swaCallback,
  type FittedModel,
  type SwaCallback,
  type SwaCallbackOptions,
} from './swa_callback.js';
