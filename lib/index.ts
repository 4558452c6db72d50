/**
 * The public face of tfjs-swa, name by name.
 * @module
 */
export { SWA } from './optimizer/swa.js';
export type { SWAOptions } from './optimizer/swa_options.js';
export { ScheduleFree, type ScheduleFreeOptions } from './optimizer/schedule_free.js';
export { Lookahead, type LookaheadOptions } from './optimizer/lookahead.js';
export type { LoadOptions } from './optimizer/groups/load_state.js';
export { emaAvgFn, swaAvgFn, weightedAvgFn, type AvgFn } from './average/avg_fn.js';
export { finiteOnly, type FiniteOnlyOptions } from './average/finite.js';
export { AveragedModel, type AveragedModelOptions } from './average/averaged_model.js';
export type { AveragedModelLoadOptions, AveragedModelStateDict } from './average/averaged_state.js';
export type { LayersModelLike } from './average/averaged_weights.js';
export { WeightHistory, type WeightHistoryOptions } from './history/weight_history.js';
export type { Choice, ChooseOptions } from './history/choose.js';
export type { HistoryLoadOptions } from './history/history_state.js';
export { SWAG } from './swag/swag.js';
export type { SWAGOptions, SWAGSampleOptions } from './swag/options.js';
export type { SWAGPrediction, SWAGPredictOptions } from './swag/predict.js';
export type { SWAGStateDict } from './swag/swag_state.js';
export type { TrainedModel } from './swap/trained_weights.js';
export type { PlacedState } from './state/placed_state.js';
export type { WeightAverage } from './state/weight_average.js';
export type {
  ChosenState,
  SegmentState,
  WeightHistoryState,
  WindowScore,
} from './state/weight_history_state.js';
export { softUpdate } from './average/soft_update.js';
export type { WeightedModel } from './model/model_or_list.js';
export { assignWeights, readWeights } from './merge/weights.js';
export { mergeAverages, WeightAccumulator } from './merge/accumulator.js';
export { averageOf } from './merge/average_of.js';
export { mergeStateDicts, type MergeOptions } from './merge/merge_state_dicts.js';
export { greedySoup, type GreedySoup } from './merge/greedy_soup.js';
export { LambdaLR } from './schedule/lambda_lr.js';
export type { LRSchedulerStateDict } from './schedule/scheduler.js';
export { SWALR, type SWALROptions, type SWALRStateDict } from './schedule/swalr.js';
export {
  ReduceLROnPlateau,
  type ReduceLROnPlateauOptions,
  type ReduceLROnPlateauStateDict,
} from './schedule/reduce_lr_on_plateau.js';
export {
  constant,
  cosineAnnealing,
  linear,
  sequence,
  type Schedule,
  type SchedulePhase,
} from './schedule/schedules.js';
export { cyclic, oneCycle, triangular, warmRestarts } from './schedule/cycles.js';
export { exponential, stepDecay } from './schedule/decays.js';
export { loadStateDict, saveStateDict } from './checkpoint/checkpoint.js';
export type { StateTree } from './state/state_tree.js';
export type { ParamGroup, ParamGroupOptions } from './optimizer/groups/param_groups.js';
export type { ParamGroupState, SWAStateDict } from './state/state_dict.js';
export type { LoadReport } from './state/match_tensors.js';
export type { NamedTensor, TensorData } from './state/tensor_data.js';
export type { BnBatch, BnInput, BnLoader } from './batchnorm/batches.js';
export { updateBn, type BnUpdateOptions } from './batchnorm/update_bn.js';
export { swaCallback, type SwaCallback } from './fit/swa_callback.js';
export type { SwaCallbackOptions } from './fit/callback_options.js';
export type { ValidationData } from './fit/evaluation.js';
export type { FittedModel } from './fit/fitted_model.js';
