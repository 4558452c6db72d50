/** The public face of tfjs-swa, name by name. */
export { SWA, type SWAOptions } from './swa.js';
export { emaAvgFn, swaAvgFn, type AvgFn } from './average.js';
export {
  AveragedModel,
  type AveragedModelOptions,
  type AveragedModelStateDict,
  type LayersModelLike,
} from './averaged_model.js';
export type { ParamGroup, ParamGroupOptions } from './param_groups.js';
export type { ParamGroupState, SWAStateDict, TensorData } from './state_dict.js';
export {
  updateBn,
  type BnBatch,
  type BnInput,
  type BnLoader,
  type BnUpdateOptions,
} from './bn_update.js';
