/** Kernels as the scheduler makes them for common operations: for the conformance suite and for benchmarks. */
import type { Axis, Expr, LoopKernel } from "../engine/kernel/ir.js";
import { Builder } from "./conformance-kit.js";

/** [m, k] · [k, n]; a letter "t" says that the operand is stored transposed. */
export function matmul(m: number, n: number, k: number, layout: "nn" | "nt" | "tn" | "tt" = "nn"): LoopKernel {
  const b = new Builder();
  const [i, j, l] = [b.axis("m", m), b.axis("n", n), b.axis("k", k)];
  const left = layout[0] === "n" ? b.read("float32", [i, l], [m, k]) : b.read("float32", [l, i], [k, m]);
  const right = layout[1] === "n" ? b.read("float32", [l, j], [k, n]) : b.read("float32", [j, l], [n, k]);
  b.write([i, j], b.reduce([l], "add", b.pool.mul(left, right), "matmul"));
  return b.kernel(`matmul_${layout}_${m}x${n}x${k}`, [i, j]);
}

export interface ConvShape {
  readonly n: number;
  readonly c: number;
  readonly o: number;
  readonly h: number;
  readonly w: number;
  readonly k: number;
  readonly stride?: number;
  readonly padding?: number;
  readonly dilation?: number;
  readonly groups?: number;
}

export type ConvPass = "forward" | "inputGrad" | "weightGrad";

/** conv2d over [N, C, H, W] with weight [O, C/groups, K, K], or one of its gradients. */
export function conv2d(shape: ConvShape, pass: ConvPass = "forward"): LoopKernel {
  const { n, c, o, h, w, k, stride = 1, padding = 0, dilation = 1, groups = 1 } = shape;
  const out = (size: number): number => Math.floor((size + 2 * padding - dilation * (k - 1) - 1) / stride) + 1;
  const [oh, ow, cg, og] = [out(h), out(w), c / groups, o / groups];
  const b = new Builder();
  const { pool } = b;
  const axes = {
    n: b.axis("n", n),
    g: b.axis("g", groups),
    o: b.axis("o", og),
    c: b.axis("c", cg),
    kh: b.axis("kh", k),
    kw: b.axis("kw", k),
  };
  const weightShape = [groups, og, cg, k, k];
  const weightAt = [axes.g, axes.o, axes.c, axes.kh, axes.kw];
  const name = `conv2d_${pass}_${n}x${c}x${h}x${w}_${o}_k${k}s${stride}g${groups}`;

  if (pass === "inputGrad") {
    const [y, x] = [b.axis("h", h), b.axis("w", w)];
    // Output row r saw input row y through tap kh where r · stride = y + padding − kh · dilation.
    const source = (place: Axis, tap: Axis, size: number): { at: Expr; guard: Expr } => {
      const scaled = pool.sub(pool.add(pool.axis(place), pool.int(padding)), pool.mul(pool.axis(tap), pool.int(dilation)));
      const at = pool.idiv(scaled, pool.int(stride));
      return { at, guard: pool.and(pool.eq(pool.mod(scaled, pool.int(stride)), pool.int(0)), b.within(at, size)) };
    };
    const [row, column] = [source(y, axes.kh, oh), source(x, axes.kw, ow)];
    const guard = pool.and(row.guard, column.guard);
    const grad = b.read("float32", [axes.n, axes.g, axes.o, row.at, column.at], [n, groups, og, oh, ow], guard);
    const weight = b.read("float32", weightAt, weightShape);
    b.write([axes.n, axes.g, axes.c, y, x], b.reduce([axes.o, axes.kh, axes.kw], "add", pool.mul(grad, weight), "conv2dInputGrad"));
    return b.kernel(name, [axes.n, axes.g, axes.c, y, x]);
  }

  const [y, x] = [b.axis("h", oh), b.axis("w", ow)];
  const place = (at: Axis, tap: Axis): Expr =>
    pool.sub(pool.add(pool.mul(pool.axis(at), pool.int(stride)), pool.mul(pool.axis(tap), pool.int(dilation))), pool.int(padding));
  const [row, column] = [place(y, axes.kh), place(x, axes.kw)];
  const inside = pool.and(b.within(row, h), b.within(column, w));
  const input = b.read("float32", [axes.n, axes.g, axes.c, row, column], [n, groups, cg, h, w], inside);
  if (pass === "forward") {
    const weight = b.read("float32", weightAt, weightShape);
    const sum = b.reduce([axes.c, axes.kh, axes.kw], "add", pool.mul(input, weight), "conv2d");
    const bias = b.read("float32", [axes.g, axes.o], [groups, og]);
    b.write([axes.n, axes.g, axes.o, y, x], pool.add(sum, bias));
    return b.kernel(name, [axes.n, axes.g, axes.o, y, x]);
  }
  const grad = b.read("float32", [axes.n, axes.g, axes.o, y, x], [n, groups, og, oh, ow]);
  b.write(weightAt, b.reduce([axes.n, y, x], "add", pool.mul(grad, input), "conv2dWeightGrad"));
  return b.kernel(name, weightAt);
}

/** Over the middle axis of [rows, channels, inner], with weight and bias per channel, in one kernel of two reductions. */
export function layerNorm(rows: number, channels: number, inner = 1): LoopKernel {
  const b = new Builder();
  const { pool } = b;
  const [r, s, c, d] = [b.axis("r", rows), b.axis("s", inner), b.axis("c", channels), b.axis("d", channels)];
  const shape = [rows, channels, inner];
  const input = b.buffer("float32", rows * channels * inner);
  const x = (axis: Axis): Expr => b.load(input, b.at([r, axis, s], shape));
  const scale = b.float(1 / channels);
  const mean = pool.mul(b.reduce([c], "add", x(c), "row"), scale);
  const centred = pool.sub(x(c), mean);
  const variance = pool.mul(b.reduce([c], "add", pool.mul(centred, centred), "row"), scale);
  const deviation = pool.div(b.float(1), pool.sqrt(pool.add(variance, b.float(1e-6))));
  const normed = pool.mul(pool.sub(x(d), mean), deviation);
  const value = pool.add(pool.mul(normed, b.read("float32", [d], [channels])), b.read("float32", [d], [channels]));
  const output = b.buffer("float32", rows * channels * inner, "write");
  b.store(output, b.at([r, d, s], shape), value, [d]);
  return b.kernel(`layer_norm_${rows}x${channels}x${inner}`, [r, s]);
}

/** Along the last axis, with the maximum subtracted. */
export function softmax(rows: number, columns: number): LoopKernel {
  const b = new Builder();
  const { pool } = b;
  const [r, c, d] = [b.axis("r", rows), b.axis("c", columns), b.axis("d", columns)];
  const input = b.buffer("float32", rows * columns);
  const x = (axis: Axis): Expr => b.load(input, b.at([r, axis], [rows, columns]));
  const most = b.reduce([c], "max", x(c), "row");
  const total = b.reduce([c], "add", pool.exp(pool.sub(x(c), most)), "row");
  b.write([r, d], pool.div(pool.exp(pool.sub(x(d), most)), total), [d]);
  return b.kernel(`softmax_${rows}x${columns}`, [r]);
}

export function gelu(length: number): LoopKernel {
  const b = new Builder();
  const { pool } = b;
  const i = b.axis("i", length);
  const x = b.read("float32", [i], [length]);
  const phi = pool.add(b.float(1), pool.call("erf", [pool.mul(x, b.float(Math.SQRT1_2))]));
  b.write([i], pool.mul(pool.mul(x, b.float(0.5)), phi));
  return b.kernel(`gelu_${length}`, [i]);
}

/** One AdamW step in place: buffers are parameter, both moments, gradient, [learning rate, 1 − β₁ᵗ, 1 − β₂ᵗ]. */
export function adamW(length: number): LoopKernel {
  const b = new Builder();
  const { pool } = b;
  const i = b.axis("i", length);
  const [parameter, first, second] = [0, 1, 2].map(() => b.buffer("float32", length, "readwrite"));
  const grad = b.load(b.buffer("float32", length), i);
  const host = b.buffer("float32", 3);
  const [rate, correction1, correction2] = [0, 1, 2].map((at) => b.load(host, pool.int(at)));
  const m = pool.add(pool.mul(b.load(first, i), b.float(0.9)), pool.mul(grad, b.float(0.1)));
  const v = pool.add(pool.mul(b.load(second, i), b.float(0.999)), pool.mul(pool.mul(grad, grad), b.float(0.001)));
  const step = pool.div(pool.div(m, correction1), pool.add(pool.sqrt(pool.div(v, correction2)), b.float(1e-8)));
  const decayed = pool.mul(b.load(parameter, i), pool.sub(b.float(1), pool.mul(rate, b.float(0.05))));
  b.store(parameter, i, pool.sub(decayed, pool.mul(rate, step)));
  b.store(first, i, m);
  b.store(second, i, v);
  return b.kernel(`adamw_${length}`, [i]);
}
