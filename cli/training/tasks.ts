/** Tasks by name. */
import type { Task } from "../../train/task.js";
import type { TrainOptions } from "../options/train-options.js";
import { classifyTask } from "./classify.js";
import { detection } from "./detect.js";
import { planScenes } from "./scene-task.js";
import { segmentation } from "./segment.js";
import { prepareData } from "./setup.js";

/** A task whose data have been checked. On the default device `build` makes what is trained. */
export interface TaskPlan {
  build(say: (line: string) => void): Promise<Task<unknown>>;
}

/** Throws OpError where data and options do not fit, before anything is built. */
export function planTask(options: TrainOptions): TaskPlan {
  switch (options.task) {
    case "classify": {
      const data = prepareData(options);
      return { build: (say) => classifyTask(options, data, say) };
    }
    case "segment":
      return planScenes(options, segmentation);
    case "detect":
      return planScenes(options, detection);
  }
}
