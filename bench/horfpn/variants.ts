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

const words = (text: string): readonly string[] => text.split(" ");

/** What the runs of a task have in common, as flags of `crabro train`. */
const recipes: Readonly<Record<TaskName, readonly string[]>> = {
  detect: words("--epochs 2 --batch-size 8 --lr 2e-3 --decay-milestones 1 --no-aug"),
  segment: words("--epochs 3 --batch-size 8 --lr 3e-3 --no-aug"),
};

/** What a trial of the command has on top: to see that everything works. */
export const trial = words("--epochs 1 --batch-size 4 --train-limit 8 --val-limit 4");

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

/** Flags of `crabro train` for a variant; of those that come twice the last counts. */
export const flagsOf = ({ task, name }: Variant, more: readonly string[] = []): string[] => [
  ...["--task", task, task === "detect" ? "--neck" : "--head", name],
  ...recipes[task],
  ...more,
];
