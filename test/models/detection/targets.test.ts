/** What a step learns, against what it should: choices, boxes, masks, padding, and the losses by plain loops. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Generator, hostNormal } from "../../../engine/random.js";
import { tensor } from "../../../index.js";
import { makeAnchors } from "../../../models/detection/anchors.js";
import { overlaps } from "../../../models/detection/assign.js";
import { BoxCoder } from "../../../models/detection/box-coder.js";
import { detectionLosses, type Targets } from "../../../models/detection/losses.js";
import { setupOf } from "../../../models/detection/options.js";
import { propose, regionLevels } from "../../../models/detection/proposals.js";
import { makeTargets, type TargetName, type TargetSetup, targetNames, targetSpecs } from "../../../models/detection/targets.js";
import { blocks } from "./scenes.js";

const side = 64;
const [regions, masks] = [24, 5];
const setup = setupOf({
  numClasses: 2,
  anchors: { scales: [4], strides: [8, 16] },
  rpn: { count: 16 },
  regions: { count: regions },
  maskRegions: masks,
  maskSize: 4,
  regionLevels: 2,
  finestScale: 28,
  proposals: { nmsPre: 40, maxPerImage: 30 },
});
const anchors = makeAnchors(
  [
    [8, 8],
    [4, 4],
  ],
  setup.anchors,
);
const given: TargetSetup = {
  setup,
  anchors,
  extent: { height: side, width: side },
  rpnCoder: new BoxCoder(),
  boxCoder: new BoxCoder({ stds: [0.1, 0.1, 0.2, 0.2] }),
};
const n = 2;
function targetsOf(seed: number, key: readonly [number, number] = [1, 2]) {
  const { truths } = blocks(n, side, seed);
  const generator = new Generator(seed);
  const logits = Float32Array.from(hostNormal(generator, n * anchors.count));
  const deltas = Float32Array.from(hostNormal(generator, 4 * n * anchors.count), (v) => v / 5);
  const arrays = makeTargets(given, truths, logits, deltas, key);
  const named = Object.fromEntries(targetNames.map((name, i) => [name, arrays[i]])) as Record<TargetName, Float32Array | Int32Array>;
  return { truths, logits, deltas, named };
}
const boxAt = (boxes: ArrayLike<number>, i: number): Float32Array => Float32Array.from({ length: 4 }, (_, d) => boxes[4 * i + d]);

describe("targets", () => {
  it("of anchors are the assigned objects, of at most as many as wanted", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e6 }), (seed) => {
        const { truths, named } = targetsOf(seed);
        truths.forEach(({ boxes }, image) => {
          const overlap = overlaps(boxes, anchors.boxes);
          const bests = Array.from({ length: boxes.length / 4 }, (_, i) =>
            Math.max(...overlap.subarray(i * anchors.count, (i + 1) * anchors.count)),
          );
          let [learnt, withObject] = [0, 0];
          for (let a = 0; a < anchors.count; a++) {
            const at = image * anchors.count + a;
            learnt += named.anchorWeights[at];
            withObject += named.anchorLabels[at];
            const column = bests.map((_, i) => overlap[i * anchors.count + a]);
            if (named.anchorLabels[at] === 1) {
              expect(named.anchorWeights[at]).toBe(1);
              expect(Math.max(...column) >= 0.7 || column.some((value, i) => value === bests[i] && value >= 0.3)).toBe(true);
              const box = given.rpnCoder.decode(boxAt(anchors.boxes, a), boxAt(named.anchorDeltas, at));
              expect(Math.max(...overlaps(box, boxes))).toBeGreaterThan(0.999);
            } else if (named.anchorWeights[at] === 1) expect(Math.max(...column)).toBeLessThan(0.3);
          }
          expect(learnt).toBe(16);
          expect(withObject > 0).toBe(bests.some((best) => best >= 0.3));
          expect(withObject).toBeLessThanOrEqual(8);
        });
      }),
      { numRuns: 30 },
    );
  });

  it("of regions lead to the objects; those without an object, and the rows beyond, count for nothing", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e6 }), (seed) => {
        const { truths, named, logits, deltas } = targetsOf(seed);
        const counts = [0, 0, 0];
        truths.forEach(({ boxes, labels, masks: bitmaps, picture }, image) => {
          const [from, to] = [image * anchors.count, (image + 1) * anchors.count];
          const withObject = Array.from(named.anchorLabels.subarray(from, to)).reduce((a, b) => a + b, 0);
          counts[2] += Math.max(1, withObject) + 16 - withObject;
          const valid = new Uint8Array(anchors.count).fill(1);
          const proposed = propose(
            anchors,
            given.rpnCoder,
            logits.subarray(from, to),
            deltas.subarray(4 * from, 4 * to),
            picture,
            valid,
            setup.proposals,
          );
          const candidates = Float32Array.from([...boxes, ...proposed]);
          for (let r = 0; r < regions; r++) {
            const at = image * regions + r;
            const label = named.labels[at];
            const box = boxAt(named.regions, at);
            if (label === -1) {
              expect([...box, ...boxAt(named.deltas, at)]).toEqual([0, 0, 1, 1, 0, 0, 0, 0]);
              continue;
            }
            counts[0]++;
            expect(Math.max(...overlaps(box, candidates))).toBeCloseTo(1, 5);
            expect(named.levels[at]).toBe(Math.sqrt((box[2] - box[0]) * (box[3] - box[1])) + 1e-4 >= 56 ? 1 : 0);
            const overlap = overlaps(boxes, box);
            if (label === 2) expect(Math.max(...overlap)).toBeLessThan(0.5);
            else {
              expect(r).toBeLessThan(regions / 4);
              expect(Math.max(...overlap)).toBeGreaterThanOrEqual(0.5);
              const found = given.boxCoder.decode(box, boxAt(named.deltas, at));
              const object = overlaps(boxes, found).findIndex((value, i) => value > 0.999 && labels[i] === label);
              expect(object).toBeGreaterThanOrEqual(0);
            }
          }
          for (let m = 0; m < masks; m++) {
            const at = image * masks + m;
            const learnt = named.masks.subarray(at * 64, at * 64 + 64);
            if (named.maskLabels[at] === -1) {
              expect(Math.max(...learnt)).toBe(0);
              continue;
            }
            counts[1]++;
            expect([...boxAt(named.maskRegions, at)]).toEqual([...boxAt(named.regions, image * regions + m)]);
            expect(named.maskLabels[at]).toBe(named.labels[image * regions + m]);
            expect(bitmaps.length).toBeGreaterThan(0);
            expect(Math.max(...learnt)).toBe(1);
          }
        });
        expect([...named.counts]).toEqual([counts[2], counts[0], counts[1]]);
      }),
      { numRuns: 30 },
    );
  });

  it("follow from the key alone, and change with it", () => {
    const [a, b, c] = [targetsOf(3), targetsOf(3), targetsOf(3, [1, 3])];
    expect(a.named).toEqual(b.named);
    expect(a.named.anchorWeights).not.toEqual(c.named.anchorWeights);
  });

  it("are there for pictures without anything", () => {
    const empty = { picture: { height: side, width: side }, boxes: new Float32Array(0), labels: new Int32Array(0), masks: [] };
    const arrays = makeTargets(given, [empty], new Float32Array(anchors.count), new Float32Array(4 * anchors.count), [1, 1]);
    const named = Object.fromEntries(targetNames.map((name, i) => [name, arrays[i]]));
    // Sixteen anchors of the ground, and one with an object that is not there, as mmdet counts.
    expect([...named.counts]).toEqual([17, 24, 1]);
    expect(named.anchorLabels.every((v) => v === 0) && named.labels.every((v) => v === 2)).toBe(true);
  });
});

describe("levels", () => {
  it("go by the side, from the finest", () => {
    const boxes = Float32Array.from([1, 55, 112, 113, 224, 448, 2000].flatMap((s) => [0, 0, s, s]));
    expect([...regionLevels(boxes, 4, 56)]).toEqual([0, 0, 1, 1, 2, 3, 3]);
  });
});

describe("losses", () => {
  it("are sums over what is learnt, divided by how many are", async () => {
    const { named } = targetsOf(7);
    const generator = new Generator(1);
    const random = (...shape: number[]) =>
      Float32Array.from(
        hostNormal(
          generator,
          shape.reduce((a, b) => a * b),
        ),
      );
    const outputs = {
      anchorLogits: random(n * anchors.count),
      anchorDeltas: random(n * anchors.count * 4),
      logits: random(n * regions * 3),
      deltas: random(n * regions * 2 * 4),
      masks: random(n * masks * 64),
    };
    const specs = targetSpecs(n, given);
    const targets = Object.fromEntries(
      targetNames.map((name, i) => [name, tensor(named[name], { shape: specs[i].shape })]),
    ) as unknown as Targets;
    const losses = detectionLosses(
      {
        rpn: {
          logits: tensor(outputs.anchorLogits, { shape: [n, anchors.count] }),
          deltas: tensor(outputs.anchorDeltas, { shape: [n, anchors.count, 4] }),
        },
        boxes: {
          logits: tensor(outputs.logits, { shape: [n * regions, 3] }),
          deltas: tensor(outputs.deltas, { shape: [n * regions, 2, 4] }),
        },
        masks: tensor(outputs.masks, { shape: [n * masks, 8, 8] }),
      },
      targets,
    );
    const bce = (x: number, t: number): number => Math.log1p(Math.exp(-Math.abs(x))) + Math.max(x, 0) - x * t;
    const want = { rpnCls: 0, rpnBox: 0, cls: 0, box: 0, mask: 0 };
    for (let i = 0; i < n * anchors.count; i++) {
      if (named.anchorWeights[i] === 1) want.rpnCls += bce(outputs.anchorLogits[i], named.anchorLabels[i]) / named.counts[0];
      if (named.anchorLabels[i] === 1)
        for (let d = 0; d < 4; d++)
          want.rpnBox += Math.abs(outputs.anchorDeltas[4 * i + d] - named.anchorDeltas[4 * i + d]) / named.counts[0];
    }
    for (let r = 0; r < n * regions; r++) {
      const label = named.labels[r];
      if (label === -1) continue;
      const row = [...outputs.logits.subarray(3 * r, 3 * r + 3)];
      want.cls += (Math.log(row.reduce((sum, v) => sum + Math.exp(v), 0)) - row[label]) / named.counts[1];
      if (label < 2)
        for (let d = 0; d < 4; d++)
          want.box += Math.abs(outputs.deltas[(2 * r + label) * 4 + d] - named.deltas[4 * r + d]) / named.counts[1];
    }
    for (let m = 0; m < n * masks; m++) {
      const label = named.maskLabels[m];
      if (label === -1) continue;
      for (let i = 0; i < 64; i++) want.mask += bce(outputs.masks[64 * m + i], named.masks[64 * m + i]) / (64 * named.counts[2]);
    }
    for (const [name, value] of Object.entries(want)) expect(await losses[name as keyof typeof want].item(), name).toBeCloseTo(value, 4);
  });
});
