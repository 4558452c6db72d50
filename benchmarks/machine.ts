/** Says on what machine a run was made, and how busy it was. */
import os from 'node:os';

export interface Machine {
  date: string;
  node: string;
  cpu: string;
  cores: number;
  memoryGB: number;
  /** Processes that wanted a core, the mean of the last minute. */
  load: number;
}

export function machine(): Machine {
  const cores = os.cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    node: process.version,
    cpu: cores[0]?.model ?? 'unknown',
    cores: cores.length,
    memoryGB: Math.round(os.totalmem() / 2 ** 30),
    load: Math.round(10 * os.loadavg()[0]!) / 10,
  };
}

export const machineText = ({ node, cpu, cores, memoryGB, load }: Machine): string =>
  `Node ${node}, ${cores} cores of ${cpu}, ${memoryGB} GB, load ${load}`;
