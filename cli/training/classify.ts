/** Classification as a task. */
import { locateAnomaly } from "../../train/anomaly.js";
import type { Batch } from "../../train/data/loader.js";
import type { Prediction } from "../../train/evaluate.js";
import { learningStep } from "../../train/learn.js";
import { confusionPart, galleryPart } from "../../train/report/classification.js";
import { Confusion } from "../../train/report/confusion.js";
import { Gallery, showPictures } from "../../train/report/gallery.js";
import type { Columns } from "../../train/report/history.js";
import { classLesson } from "../../train/step.js";
import type { Task } from "../../train/task.js";
import { accuracyWords } from "../commands/report.js";
import type { TrainOptions } from "../options/train-options.js";
import { prepare, type TrainData } from "./setup.js";

const shownPictures = 18;

const chart = "Accuracy, %";
export const accuracyColumns: Columns = {
  train: [{ key: "top1", title: "training %", csv: "", log: "acc1", digits: 2, chart }],
  test: [
    { key: "loss", title: "test loss", csv: "loss", log: "loss", digits: 4, chart: "Loss" },
    { key: "top1", title: "test %", csv: "top1", log: "acc1", digits: 2, chart },
    { key: "top5", title: "top 5 %", csv: "top5", log: "acc5", digits: 2 },
  ],
  metric: "top1",
  metricTitle: "Accuracy",
};

export async function classifyTask(options: TrainOptions, data: TrainData, say: (line: string) => void): Promise<Task<Batch>> {
  const { model, optimizer, loader, testLoader, average, evaluate, stepOptions } = await prepare(options, data, say);
  const { trainSet, testSet, size, shape, shown } = data;
  const { classNames } = trainSet;
  let confusion = new Confusion(shape.numClasses);
  let gallery = new Gallery(shownPictures);
  const onPrediction = (prediction: Prediction): void => {
    confusion.add(prediction);
    gallery.add(prediction);
  };
  const { transform } = loader;
  const lesson = classLesson(model, stepOptions);
  return {
    title: `${options.model} on ${trainSet.name}`,
    opening: `${trainSet.name}: ${loader.samples} images of ${transform.channels} × ${transform.size} × ${transform.size} an epoch`,
    facts: [
      ["network", `${options.model}, ${model.numParameters} parameters`],
      [
        "data",
        `${trainSet.name}: ${trainSet.length} pictures; ${testSet.name}: ${testSet.length}; shown as ${shape.inChans} × ${size} × ${size}`,
      ],
    ],
    model,
    optimizer,
    ema: average?.ema ?? null,
    loader,
    step: learningStep(model, optimizer, lesson, { ...stepOptions, compiled: options.compile, accumulates: options.gradAccumSteps > 1 }),
    columns: accuracyColumns,
    words: accuracyWords,
    evaluate: (which, { onBatch, signal, shown: kept }) => {
      if (kept) {
        confusion = new Confusion(shape.numClasses);
        gallery = new Gallery(shownPictures);
      }
      const given = { onBatch, signal, ...(kept ? { onPrediction } : {}) };
      if (which === "model" || average === null) return evaluate(testLoader, given);
      average.averaged.loadStateDict(average.ema.stateDict());
      return average.evaluate(testLoader, given);
    },
    sections: async () => {
      const [right, wrong] = await Promise.all((["right", "wrong"] as const).map((kind) => showPictures(testSet, gallery.chosen(kind))));
      return [
        confusionPart(confusion, classNames),
        galleryPart("Wrong, and sure of it", wrong, classNames),
        galleryPart("Right, and sure of it", right, classNames),
      ].join("\n");
    },
    broken: () => [...loader.broken, ...testLoader.broken],
    card: () => ({ model: options.model, ...shape, inputSize: size, transform: shown, classNames }),
    locate: ({ batches, counter }) => locateAnomaly(model, optimizer, lesson, batches, counter),
    close: async () => {
      await Promise.all([loader.close(), testLoader.close()]);
    },
  };
}
