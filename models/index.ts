/** Networks and the layers they are made of. The main entry comes along, as it registers the devices that their parameters are made on. */
import "../index.js";

export * from "./activations.js";
export * from "./attention.js";
export * from "./conv-module.js";
export * from "./detection/index.js";
export { GLMixBlock, type GLMixOptions, type MlpOptions, ResDWConv } from "./glmix.js";
export * from "./glnet.js";
export * from "./glnet-tklb.js";
export * from "./gnconv.js";
export { FPN, type FPNOptions, HorFPN, type HorFPNOptions } from "./horfpn.js";
export { HorNet, HorNetBlock, type HorNetBlockOptions, type HorNetOptions, hornetFilters, hornetGnConv, hornetVariants } from "./hornet.js";
export * from "./hornet-backbone.js";
export * as nn from "./nn/index.js";
export { Module, Parameter } from "./nn/index.js";
export * from "./patch.js";
export { arranged, blended, enlarged, heatMap, labelMap, orderPicture, type Picture as ColourPicture, slotPicture } from "./picture.js";
export {
  adaptState,
  type DownloadOptions,
  type DownloadProgress,
  type HeadChoice,
  loadPretrained,
  type Pretrained,
  type PretrainedOptions,
} from "./pretrained.js";
export * from "./registry.js";
export * from "./segmentor.js";
export * from "./state.js";
export * from "./summary.js";
export * from "./upernet.js";
export { castStored, type StoredFloat } from "./weights/cast.js";
export { PickleRecord, type PickleValue, PthTensor, pthState, readPth } from "./weights/pth.js";
export { type PthWriteOptions, writePth } from "./weights/pth-write.js";
export { type ReadStateOptions, readState, type WeightsFile } from "./weights/read.js";
export {
  readSafetensors,
  type SafetensorsFile,
  type StoredDType,
  type StoredTensor,
  store,
  toTypedArray,
  writeSafetensors,
} from "./weights/safetensors.js";
