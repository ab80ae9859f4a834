/** Digits one by one as they stand in composed scenes: what a backbone learns before it learns scenes. */
import type { Dataset, Split, TexturedSource } from "./dataset.js";
import { digitPicture } from "./digit-scenes.js";
import { imagenetStatistics } from "./folder.js";

/** The digits of a data set, each turned, in some colour, on a textured ground, in pictures of `side` × `side`. Equal options give equal pictures. */
export function texturedDigits(digits: Dataset, split: Split, { side = 64, seed = 0 }: { side?: number; seed?: number } = {}): Dataset {
  const source: TexturedSource = { kind: "textured", of: digits.source, split, side, seed };
  return {
    ...digits,
    name: `textured ${digits.name}`,
    channels: 3,
    ...imagenetStatistics,
    side,
    source,
    title: (index) => digits.title(index),
    label: (index) => digits.label(index),
    picture: (index) => digitPicture(digits, split, index, { size: side, seed }),
  };
}
