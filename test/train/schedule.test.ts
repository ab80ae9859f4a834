import { describe, expect, it } from "vitest";
import { constantRate, cosine, multiStep, poly } from "../../train/schedule.js";

describe("cosine", () => {
  it("warms up along a line from 0 to lr, then falls along half a cosine", () => {
    const schedule = cosine({ lr: 1e-3, minLr: 1e-6, warmupSteps: 5, totalSteps: 30 });
    // The published code's values: both the last of the warm-up and the first of the cosine are lr.
    expect([0, 1, 2, 3, 4, 5].map(schedule)).toEqual([0, 0.00025, 0.0005, 0.00075, 0.001, 0.001]);
    const later = { 6: 0.0009960612933065818, 17: 0.0005318638645048922, 24: 0.00013638017060300505, 29: 4.938706693418357e-6 };
    for (const [step, lr] of Object.entries(later)) expect(schedule(Number(step))).toBeCloseTo(lr, 15);
  });

  it("stays at the end", () => {
    const schedule = cosine({ lr: 1, minLr: 0.25, totalSteps: 10 });
    expect(schedule(10)).toBeCloseTo(0.25, 12);
    expect(schedule(99)).toBeCloseTo(0.25, 12);
  });

  it("copes with a warm-up of one step and of all steps", () => {
    expect(cosine({ lr: 1, warmupSteps: 1, totalSteps: 3 })(0)).toBe(0);
    expect(cosine({ lr: 1, warmupSteps: 3, totalSteps: 3 })(2)).toBe(1);
  });

  it("refuses a warm-up longer than the training", () => {
    expect(() => cosine({ lr: 1, warmupSteps: 4, totalSteps: 3 })).toThrow(
      /^cosine: warm-up takes 0 to totalSteps steps; got warmupSteps 4 of 3$/,
    );
  });
});

describe("other schedules", () => {
  it("multiply at milestones", () => {
    const schedule = multiStep({ lr: 1, milestones: [8, 11], gamma: 0.1 });
    expect([0, 7, 8, 10, 11].map(schedule).map((lr) => Number(lr.toFixed(6)))).toEqual([1, 1, 0.1, 0.1, 0.01]);
  });
  it("fall along a power", () => {
    const schedule = poly({ lr: 1, minLr: 0.2, totalSteps: 10, power: 2 });
    // 0.2 + 0.8 (1 − t / 10)².
    expect([0, 5, 9].map(schedule).map((lr) => Number(lr.toFixed(6)))).toEqual([1, 0.4, 0.208]);
  });
  it("stay constant", () => expect(constantRate(0.3)(1000)).toBe(0.3));
});
