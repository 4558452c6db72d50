/**
 * Measures how an update of the average grows with parameters, tensors and groups, against its
 * limit: one pass over two flat arrays of the same size. growth_chart.ts draws it.
 */
import { benchAverage } from './average.js';

/** One measurement: of the average on a backend, or of the limit. */
export interface GrowthPoint {
  x: number;
  /** Values that were averaged. */
  size: number;
  ms: number;
  /** The backend, or what the limit was measured with. */
  series: string;
}

/** How the parameters are cut for a number of what grows. */
interface Cut {
  tensors: number;
  /** Values of each tensor. */
  size: number;
  groups?: number;
}

/** What grows: its numbers, and the parameters for each. */
const GROWTHS = {
  parameters: {
    xs: [1e4, 1e5, 1e6, 1e7, 1e8],
    cut: (x: number): Cut => ({ tensors: 100, size: x / 100 }),
  },
  tensors: {
    xs: [1, 5, 20, 100, 500, 2000],
    cut: (x: number): Cut => ({ tensors: x, size: 2e6 / x }),
  },
  groups: {
    xs: [1, 3, 10, 30, 100],
    cut: (x: number): Cut => ({ tensors: 300, size: 1000, groups: x }),
  },
};
export type Growth = keyof typeof GROWTHS;

/**
 * Adds the measurements of the current backend.
 *
 * @param quick The two smallest numbers of each alone.
 */
export async function benchGrowth(
  rounds: number,
  quick: boolean,
  found: Record<Growth, GrowthPoint[]>,
): Promise<void> {
  for (const [what, { xs, cut }] of Object.entries(GROWTHS)) {
    for (const x of quick ? xs.slice(0, 2) : xs) {
      const { tensors, size, groups = 1 } = cut(x);
      const shapes = new Array<number[]>(tensors).fill([size]);
      const [row] = await benchAverage(what, shapes, rounds, { groups });
      found[what as Growth].push(
        { x, size: tensors * size, ms: row!.value, series: row!.backend },
        { x, size: tensors * size, ms: row!.againstValue, series: row!.against },
      );
    }
  }
}
