/** Scenes scaled, mirrored, cropped and padded: boxes, masks and classes of pixels stay where the picture's things are. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import "../../../index.js";
import { cropScene, Draws, flipScene, padded, resizeScene, type SceneTransform, transformScene } from "../../../train/augment/index.js";
import { collateScenes, digitScene, maskBox, mnist, type Scene, type SceneDataset, SceneLoader } from "../../../train/data/index.js";

/** Things are rectangles of one colour each, on black, and so can be found again in the picture. */
function painted(width: number, height: number, rectangles: readonly (readonly [number, number, number, number])[]): Scene {
  const owner = new Uint8Array(width * height);
  rectangles.forEach(([x, y, w, h], i) => {
    for (let row = y; row < Math.min(height, y + h); row++) owner.fill(i + 1, row * width + x, row * width + Math.min(width, x + w));
  });
  const kept = rectangles.map((_, i) => i).filter((i) => owner.includes(i + 1));
  const masks = kept.map((i) => owner.map((o) => Number(o === i + 1)));
  return {
    image: { width, height, channels: 3, data: Uint8Array.from({ length: 3 * owner.length }, (_, at) => 40 * owner[Math.floor(at / 3)]) },
    imageId: 4,
    boxes: Float32Array.from(masks.flatMap((mask) => [...(maskBox(mask, height, width) ?? [])])),
    labels: Int32Array.from(kept),
    masks,
    iscrowd: new Uint8Array(kept.length),
    areas: Float32Array.from(masks, (mask) => mask.reduce((sum, bit) => sum + bit, 0)),
    semantic: owner.map((o) => o),
  };
}

const scenes = fc.tuple(fc.integer({ min: 8, max: 40 }), fc.integer({ min: 8, max: 40 })).chain(([width, height]) =>
  fc
    .array(fc.tuple(fc.nat(width - 1), fc.nat(height - 1), fc.integer({ min: 2, max: 20 }), fc.integer({ min: 2, max: 20 })), {
      maxLength: 4,
    })
    .map((rectangles) => painted(width, height, rectangles)),
);

/** Picture, masks, classes and boxes say the same of every pixel. */
function agrees(scene: Scene): void {
  const { image, masks, semantic, boxes, labels, areas, iscrowd } = scene;
  expect([masks.length, boxes.length / 4, areas.length, iscrowd.length]).toEqual(Array(4).fill(labels.length));
  for (let at = 0; at < image.width * image.height; at++) {
    const owner = image.data[3 * at] / 40;
    const own = masks.findIndex((mask) => mask[at] === 1);
    expect(own === -1 ? 0 : labels[own] + 1).toBe(owner);
    if (semantic?.[at] !== 255) expect(semantic?.[at]).toBe(owner);
  }
  masks.forEach((mask, i) => {
    const tight = maskBox(mask, image.height, image.width) as readonly number[];
    const [x0, y0, x1, y1] = boxes.subarray(4 * i, 4 * i + 4);
    // What others cover may have been cut off a box's sides, but nothing of a mask is outside.
    expect([tight[0] >= x0, tight[1] >= y0, tight[2] <= x1, tight[3] <= y1]).toEqual([true, true, true, true]);
    expect([x0 >= 0, y0 >= 0, x1 <= image.width, y1 <= image.height]).toEqual([true, true, true, true]);
  });
}

describe("scenes", () => {
  it("mirror, twice back to themselves", () => {
    fc.assert(
      fc.property(scenes, (scene) => {
        const flipped = flipScene(scene);
        agrees(flipped);
        flipped.masks.forEach((mask, i) => {
          expect([...flipped.boxes.subarray(4 * i, 4 * i + 4)]).toEqual([...(maskBox(mask, scene.image.height, scene.image.width) ?? [])]);
        });
        expect({ ...flipScene(flipped) }).toEqual({ ...scene });
      }),
      { numRuns: 40 },
    );
  });

  it("are cropped with what is in them, and may reach beyond their edge", () => {
    fc.assert(
      fc.property(
        scenes,
        fc.integer({ min: -5, max: 20 }),
        fc.integer({ min: -5, max: 20 }),
        fc.integer({ min: 4, max: 30 }),
        (scene, left, top, side) => {
          const cut = cropScene(scene, left, top, side, side + 1);
          expect([cut.image.width, cut.image.height]).toEqual([side, side + 1]);
          agrees(cut);
          cut.masks.forEach((mask, i) => {
            expect(cut.areas[i]).toBeCloseTo(
              mask.reduce((sum, bit) => sum + bit, 0),
              3,
            );
          });
          for (let y = 0; y < side + 1; y++)
            for (let x = 0; x < side; x++) {
              const outside = x + left < 0 || y + top < 0 || x + left >= scene.image.width || y + top >= scene.image.height;
              if (outside) expect(cut.semantic?.[y * side + x]).toBe(255);
            }
        },
      ),
      { numRuns: 40 },
    );
  });

  it("grow by whole factors exactly", () => {
    fc.assert(
      fc.property(scenes, fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 }), (scene, fx, fy) => {
        const { width, height } = scene.image;
        const grown = resizeScene(scene, width * fx, height * fy, "bilinear");
        scene.masks.forEach((mask, i) => {
          expect([...grown.boxes.subarray(4 * i, 4 * i + 4)]).toEqual(
            [...scene.boxes.subarray(4 * i, 4 * i + 4)].map((v, k) => v * (k % 2 === 0 ? fx : fy)),
          );
          expect(grown.areas[i]).toBe(scene.areas[i] * fx * fy);
          grown.masks[i].forEach((bit, at) => {
            expect(bit).toBe(mask[Math.floor(Math.floor(at / (width * fx)) / fy) * width + Math.floor((at % (width * fx)) / fx)]);
          });
        });
      }),
      { numRuns: 20 },
    );
  });

  it("shrink with boxes around their masks, to within a pixel", () => {
    const digits = mnist("train");
    for (let i = 0; i < 3; i++) {
      const scene = resizeScene(digitScene(digits, "train", i), 96, 64, "bilinear");
      scene.masks.forEach((mask, k) => {
        const tight = maskBox(mask, 64, 96) as readonly number[];
        [...scene.boxes.subarray(4 * k, 4 * k + 4)].forEach((value, side) => {
          expect(Math.abs(value - tight[side])).toBeLessThanOrEqual(1);
        });
        expect(Math.abs(mask.reduce((sum, bit) => sum + bit, 0) / scene.areas[k] - 1)).toBeLessThan(0.3);
      });
    }
  });
});

const transform: SceneTransform = {
  size: [32, 64],
  channels: 3,
  mean: [0.5, 0.5, 0.5],
  std: [0.25, 0.25, 0.25],
  interpolation: "bilinear",
  scale: [1, 1],
  hflip: 0,
  mostOfOneClass: 1,
};

describe("transformScene", () => {
  it("makes scenes that fit into the size, whatever it draws", () => {
    fc.assert(
      fc.property(scenes, fc.nat(1000), (scene, seed) => {
        const wild = { ...transform, scale: [0.5, 2.5] as const, hflip: 0.5 };
        const { scene: made, scale } = transformScene(scene, wild, new Draws(seed, "sample", 0, 0));
        expect(made.image.width).toBeLessThanOrEqual(64);
        expect(made.image.height).toBeLessThanOrEqual(32);
        expect(Math.max(...scale)).toBeLessThanOrEqual(2.6 * Math.max(32 / scene.image.height, 64 / scene.image.width));
        made.masks.forEach((mask, i) => {
          expect(mask.length).toBe(made.image.width * made.image.height);
          const [x0, y0, x1, y1] = made.boxes.subarray(4 * i, 4 * i + 4);
          expect(x1 > x0 && y1 > y0 && x0 >= 0 && y0 >= 0 && x1 <= made.image.width + 1e-3 && y1 <= made.image.height + 1e-3).toBe(true);
        });
        expect(transformScene(scene, wild, new Draws(seed, "sample", 0, 0))).toEqual({ scene: made, scale });
      }),
      { numRuns: 60 },
    );
  });

  it("just fits a scene where nothing is drawn", () => {
    const { scene, scale } = transformScene(painted(16, 16, [[2, 4, 8, 8]]), transform, new Draws(0, "sample", 0, 0));
    expect([scene.image.width, scene.image.height, ...scale]).toEqual([32, 32, 2, 2]);
    expect([...scene.boxes]).toEqual([4, 8, 20, 24]);
    expect(padded(33)).toBe(64);
    expect(() => transformScene(scene, { ...transform, size: [30, 64] }, new Draws(0, "sample", 0, 0))).toThrow(
      "sides are multiples of 32; got 30 × 64",
    );
  });

  it("looks for crops of more than one class", () => {
    // All but the right edge is ground.
    const scene = painted(64, 32, [[56, 0, 8, 32]]);
    const zoomed = { ...transform, size: [32, 32] as const, scale: [2, 2] as const };
    const share = (most: number): number =>
      Array.from({ length: 40 }, (_, i) => transformScene(scene, { ...zoomed, mostOfOneClass: most }, new Draws(1, "sample", 0, i))).filter(
        ({ scene: { semantic } }) => semantic?.includes(1),
      ).length / 40;
    expect(share(0.9)).toBeGreaterThan(share(1) + 0.2);
  });
});

describe("batches", () => {
  const list = [
    painted(16, 16, [
      [0, 0, 4, 4],
      [8, 8, 8, 8],
      [4, 0, 2, 3],
    ]),
    painted(32, 16, [[16, 2, 6, 6]]),
    painted(8, 8, []),
  ];
  const dataset: SceneDataset = {
    name: "made up",
    length: list.length,
    categories: ["a", "b", "c"],
    classes: ["ground", "a", "b", "c"],
    title: (index) => `scene ${index}`,
    get: async (index) => ({ ...list[index], imageId: index }),
  };

  it("have fixed shapes, and say what is real", () => {
    const first = transformScene(list[0], transform, new Draws(0, "sample", 0, 0));
    const host = collateScenes([{ ...first, original: [16, 16], index: 5 }], transform, { maxInstances: 2, masks: true, semantic: true });
    // The two largest of three, in their order.
    expect([[...host.labels], [...host.valid], host.leftOut]).toEqual([[0, 1], [1, 1], 1]);
    expect([...host.boxes]).toEqual([0, 0, 8, 8, 16, 16, 32, 32]);
    expect([[...host.sizes], [...host.scales], [...host.originals], [...host.indices]]).toEqual([[32, 32], [2, 2], [16, 16], [5]]);
    expect([host.masks?.length, host.images.length]).toEqual([2 * 32 * 64, 3 * 32 * 64]);
    // Row 0: eight pixels of the first thing, then others, then padding.
    expect([host.masks?.[0], host.masks?.[7], host.masks?.[8], host.masks?.[40]]).toEqual([1, 1, 0, 0]);
    expect([host.semantic?.[0], host.semantic?.[31], host.semantic?.[32]]).toEqual([1, 0, 255]);
    expect(host.images[0]).toBeCloseTo((40 / 255 - 0.5) / 0.25, 5);
    expect([host.images[31], host.images[32]]).toEqual([-2, 0]);
    const crowded = { ...first.scene, iscrowd: Uint8Array.of(0, 1, 0), masks: first.scene.masks, semantic: first.scene.semantic };
    const roomy = collateScenes([{ scene: crowded, scale: [2, 2], original: [16, 16], index: 0 }], transform, {
      maxInstances: 4,
      masks: false,
      semantic: false,
    });
    expect([[...roomy.valid], [...roomy.crowd], [...roomy.labels], roomy.masks, roomy.semantic]).toEqual([
      [1, 0, 1, 0],
      [0, 1, 0, 0],
      [0, 1, 2, -1],
      null,
      null,
    ]);
  });

  it("come in an order of seed and epoch alone, and from any batch on", async () => {
    const seen = async (epoch: number, from = 0): Promise<string[]> => {
      const loader = new SceneLoader(dataset, {
        batchSize: 2,
        transform: { ...transform, scale: [0.5, 2], hflip: 0.5 },
        shuffle: true,
        seed: 3,
        maxInstances: 3,
      });
      const out: string[] = [];
      for await (const { host, images, semantic, size } of loader.epoch(epoch, from)) {
        expect([images.shape, semantic?.shape]).toEqual([
          [size, 3, 32, 64],
          [size, 32, 64],
        ]);
        out.push(`${host.imageIds.join()} ${host.images.reduce((a, b) => a + b, 0)} ${host.boxes.join()}`);
      }
      return out;
    };
    const first = await seen(0);
    expect(first).toHaveLength(2);
    expect(await seen(0)).toEqual(first);
    expect(await seen(0, 1)).toEqual(first.slice(1));
    expect(await seen(1)).not.toEqual(first);
  });

  it("are made without scenes that cannot be read, where that is allowed", async () => {
    const partly: SceneDataset = {
      ...dataset,
      get: async (index) => {
        if (index === 1) throw new Error("scene 1 is broken");
        return list[index];
      },
    };
    const ids = async (broken: "refuse" | "replace" | "drop"): Promise<number[]> => {
      const loader = new SceneLoader(partly, { batchSize: 3, transform, broken });
      const out: number[] = [];
      for await (const { host } of loader.epoch()) out.push(...host.indices);
      expect([...loader.broken]).toEqual(["scene 1 is broken"]);
      return out;
    };
    expect(await ids("replace")).toEqual([0, 2, 2]);
    expect(await ids("drop")).toEqual([0, 2]);
    await expect(ids("refuse")).rejects.toThrow("scene 1 is broken");
    expect(() => new SceneLoader(dataset, { batchSize: 4, transform, dropLast: true })).toThrow(
      "made up has 3 scenes, which make no batch of 4",
    );
  });
});
