/** Order: sorting, and what follows from it. */
export { argsort, type Sorted, type SortOptions, sort, type TopkOptions, topk } from "../ops/sort.js";
