/** What `crabro train --task detect` can be told besides what segmentation can. */
import { neckNames } from "../../models/detection/build.js";
import { choice, type Fields, openNumber, wholeFrom } from "./field.js";

export const detectFields = {
  neck: choice("pyramid of detection", neckNames, "fpn"),
  neckChannels: openNumber("<n>", "its width (default: 32 for micro networks, else 256)", wholeFrom(8)),
  regions: openNumber("<n>", "regions of a picture that are learnt (default: 64 for micro networks, else 512)", wholeFrom(1)),
  maskRegions: openNumber("<n>", "regions of a picture whose masks are learnt (default: 8 for micro networks, else 128)", wholeFrom(1)),
  maxDetections: openNumber("<n>", "greatest number of detections of a picture (default: 100)", wholeFrom(1)),
} satisfies Fields;
