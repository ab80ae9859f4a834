/** Masks as COCO writes them: run lengths, their text, polygons; and PNG files of classes. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import "../../../index.js";
import { deflateSync } from "node:zlib";
import {
  decodeRle,
  encodeRle,
  maskBox,
  polygonMask,
  readLabelPng,
  rleArea,
  rleFromString,
  rleIou,
  rleToString,
  writeLabelPng,
} from "../../../train/data/index.js";

const bitmap = fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })).chain(([height, width]) =>
  fc.array(fc.integer({ min: 0, max: 1 }), { minLength: height * width, maxLength: height * width }).map((bits) => ({
    height,
    width,
    mask: Uint8Array.from(bits),
  })),
);

describe("run lengths", () => {
  it("go down the columns, off first", () => {
    const mask = Uint8Array.of(1, 0, 1, 1, 0, 0); // 1 0 1 / 1 0 0
    expect(encodeRle(mask, 2, 3).counts).toEqual([0, 2, 2, 1, 1]);
    expect(rleArea(encodeRle(mask, 2, 3))).toBe(3);
  });

  it("have the text that cocoapi's documentation gives", () => {
    const counts = [6, 1, 40, 4, 5, 4, 5, 4, 21];
    expect(rleToString({ height: 9, width: 10, counts })).toBe("61X13mN000`0");
    expect(rleFromString("61X13mN000`0", 9, 10).counts).toEqual(counts);
  });

  it("come back from bitmaps and from texts", () => {
    fc.assert(
      fc.property(bitmap, ({ height, width, mask }) => {
        const rle = encodeRle(mask, height, width);
        expect(decodeRle(rle)).toEqual(mask);
        expect(rleFromString(rleToString(rle), height, width).counts).toEqual(rle.counts);
        expect(rleArea(rle)).toBe(mask.reduce((sum, bit) => sum + bit, 0));
      }),
    );
  });

  it("keep long runs in texts", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 2 ** 29 }), { minLength: 1, maxLength: 8 }), (counts) => {
        expect(rleFromString(rleToString({ height: 1, width: 1, counts }), 1, 1).counts).toEqual(counts);
      }),
    );
  });

  it("overlap as bitmaps do, and a crowd takes up any part of what was found", () => {
    fc.assert(
      fc.property(bitmap, fc.func(fc.integer({ min: 0, max: 1 })), ({ height, width, mask }, draw) => {
        const other = Uint8Array.from(mask, (_, i) => draw(i));
        const both = mask.reduce((sum, bit, i) => sum + (bit & other[i]), 0);
        const either = mask.reduce((sum, bit, i) => sum + (bit | other[i]), 0);
        const area = mask.reduce((sum, bit) => sum + bit, 0);
        const [a, b] = [encodeRle(mask, height, width), encodeRle(other, height, width)];
        expect(rleIou(a, b, false)).toBe(both === 0 ? 0 : both / either);
        expect(rleIou(a, b, true)).toBe(both === 0 ? 0 : both / area);
      }),
    );
  });

  it("are refused where they do not fill the picture", () => {
    expect(() => decodeRle({ height: 2, width: 2, counts: [1, 2] })).toThrow("the runs make 3 pixels; expected 2 × 2 = 4");
    expect(() => decodeRle({ height: 2, width: 2, counts: [-1, 5] })).toThrow("run 0 is -1; expected a whole number from 0 up");
    expect(() => rleFromString("61X", 9, 10)).toThrow("the text ends within a run");
    expect(() => rleFromString("6 1", 9, 10)).toThrow('character 1 is " ", which no run has there');
  });

  it("have a box", () => {
    expect(maskBox(Uint8Array.of(0, 0, 0, 0, 1, 1), 2, 3)).toEqual([1, 1, 3, 2]);
    expect(maskBox(new Uint8Array(6), 2, 3)).toBeNull();
  });
});

describe("polygons", () => {
  it("of whole pixels cover those", () => {
    const mask = polygonMask([[1, 1, 4, 1, 4, 3, 1, 3]], 5, 6);
    expect(maskBox(mask, 5, 6)).toEqual([1, 1, 4, 3]);
    expect(mask.reduce((sum, bit) => sum + bit, 0)).toBe(6);
  });

  it("may be several, and stand out of the picture", () => {
    const mask = polygonMask(
      [
        [-3, -3, 2, -3, 2, 2, -3, 2],
        [3, 0, 5, 0, 5, 9, 3, 9],
      ],
      4,
      5,
    );
    expect([...mask]).toEqual([1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1]);
  });

  it("agree with the rule of crossings wherever the border is a pixel away", () => {
    const place = fc.integer({ min: -32, max: 192 }).map((eighths) => eighths / 8);
    const point = fc.tuple(place, place);
    let [inside, outside] = [0, 0];
    fc.assert(
      fc.property(fc.array(point, { minLength: 3, maxLength: 7 }), (points) => {
        const mask = polygonMask([points.flat()], 20, 20);
        for (let y = 0; y < 20; y++) {
          for (let x = 0; x < 20; x++) {
            const [px, py] = [x + 0.5, y + 0.5];
            let crossings = 0;
            let nearest = Number.POSITIVE_INFINITY;
            points.forEach(([ax, ay], i) => {
              const [bx, by] = points[(i + 1) % points.length];
              if (ay > py !== by > py && px < ax + ((py - ay) / (by - ay)) * (bx - ax)) crossings++;
              const along = ((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2 || 1);
              const t = Math.min(1, Math.max(0, along));
              nearest = Math.min(nearest, Math.hypot(px - ax - t * (bx - ax), py - ay - t * (by - ay)));
            });
            if (nearest < 1) continue;
            if (crossings % 2 === 1) inside++;
            else outside++;
            expect([x, y, mask[y * 20 + x]]).toEqual([x, y, crossings % 2]);
          }
        }
      }),
      { numRuns: 60 },
    );
    expect(Math.min(inside, outside)).toBeGreaterThan(100);
  });
});

describe("files of classes", () => {
  it("come back, whichever filters the writer takes", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 12 }), fc.nat(), (height, width, seed) => {
        const data = Uint8Array.from({ length: height * width }, (_, i) => ((seed % 1000) * (i >> 2) + i) % 256);
        expect(readLabelPng(writeLabelPng({ height, width, data }), "x")).toEqual({ height, width, data });
      }),
      { numRuns: 40 },
    );
  });

  /** A PNG with these lines of bytes, each beginning with its filter. */
  function png(width: number, height: number, depth: number, colour: number, lines: readonly number[]): Uint8Array {
    const chunk = (type: string, body: Uint8Array): Buffer => {
      const head = Buffer.alloc(8);
      head.writeUInt32BE(body.length);
      head.write(type, 4, "latin1");
      return Buffer.concat([head, body, Buffer.alloc(4)]);
    };
    const header = Buffer.alloc(13);
    header.writeUInt32BE(width);
    header.writeUInt32BE(height, 4);
    header.set([depth, colour], 8);
    const start = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
    return Buffer.concat([
      start,
      chunk("IHDR", header),
      chunk("IDAT", deflateSync(Uint8Array.from(lines))),
      chunk("IEND", Buffer.alloc(0)),
    ]);
  }

  it("give the numbers of indexed and packed pixels", () => {
    expect([...readLabelPng(png(3, 1, 8, 3, [0, 7, 0, 9]), "x").data]).toEqual([7, 0, 9]);
    expect([...readLabelPng(png(3, 2, 4, 0, [0, 0x12, 0x30, 0, 0x45, 0x60]), "x").data]).toEqual([1, 2, 3, 4, 5, 6]);
    expect([...readLabelPng(png(9, 1, 1, 3, [0, 0b10110000, 0b10000000]), "x").data]).toEqual([1, 0, 1, 1, 0, 0, 0, 0, 1]);
    // Sub, up, average, Paeth.
    expect([...readLabelPng(png(2, 4, 8, 0, [1, 3, 4, 2, 1, 1, 3, 1, 1, 4, 1, 1]), "x").data]).toEqual([3, 7, 4, 8, 3, 6, 4, 7]);
  });

  it("are refused by name where they hold no classes", () => {
    expect(() => readLabelPng(png(1, 1, 8, 2, [0, 1, 2, 3]), "a.png")).toThrow("mask: a.png: its pixels are colours");
    expect(() => readLabelPng(png(2, 1, 8, 0, [0, 1]), "a.png")).toThrow("it holds 2 bytes; expected 1 lines of 3");
    expect(() => readLabelPng(png(1, 1, 8, 0, [9, 1]), "a.png")).toThrow("a line has filter 9");
    expect(() => readLabelPng(png(1, 1, 8, 0, [0, 1]).subarray(0, 30), "a.png")).toThrow("the file is cut off");
    expect(() => readLabelPng(Uint8Array.of(1, 2), "a.png")).toThrow("a.png: this is no PNG file");
  });
});
