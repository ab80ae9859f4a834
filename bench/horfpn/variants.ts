/** What is compared: two pyramids of HorFPN with the plain one, and two heads of HorFPN with UPerNet's. */

export const tasks = ["detect", "segment"] as const;
export type TaskName = (typeof tasks)[number];

/** A network that is compared with the others of its task; the plain one comes first. */
export interface Variant {
  readonly task: TaskName;
  readonly name: string;
}

export const variants: readonly Variant[] = [
  ...["fpn", "horfpn_7x7", "horfpn_gf"].map((name) => ({ task: "detect" as const, name })),
  ...["uper", "horfpn_7x7", "horfpn_gf"].map((name) => ({ task: "segment" as const, name })),
];

export const titleOf = ({ task, name }: Variant): string => `${task}/${name}`;

/** What the runs of a task have in common, as flags of `crabro train`. Four epochs, or three, keep each within seven minutes on two cores. */
export const recipes: Readonly<Record<TaskName, Readonly<Record<string, number>>>> = {
  detect: { epochs: 3, "batch-size": 8, lr: 2e-3 },
  segment: { epochs: 4, "batch-size": 8, lr: 4e-3 },
};

/** The measures of each task, as the run's log names them: in the table the first stands for the rest in charts. */
export const measuresOf: Readonly<Record<TaskName, readonly (readonly [key: string, title: string])[]>> = {
  detect: [
    ["box_ap50", "box AP50"],
    ["box_ap", "box AP"],
    ["mask_ap50", "mask AP50"],
    ["mask_ap", "mask AP"],
  ],
  segment: [
    ["miou", "mIoU"],
    ["macc", "mAcc"],
    ["aacc", "aAcc"],
  ],
};

/** What a trial of the command has in place of the recipe: to see that everything works. */
export const trial: Readonly<Record<string, number>> = { epochs: 1, "batch-size": 4, "train-limit": 8, "val-limit": 4 };

/** Flags of `crabro train` for a variant. */
export function flagsOf({ task, name }: Variant, overrides: Readonly<Record<string, number>> = {}): string[] {
  const recipe = Object.entries({ ...recipes[task], ...overrides }).flatMap(([flag, value]) => [`--${flag}`, String(value)]);
  return ["--task", task, task === "detect" ? "--neck" : "--head", name, ...recipe];
}
