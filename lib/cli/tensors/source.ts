/** Tensors in files, and files that take them, whatever their form. It knows nothing of averages. */

/** A tensor in a file. */
export interface Tensor {
  readonly name: string;
  /** As safetensors calls it, `F32` say. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Where its bytes begin among those of all, and how many they are. */
  readonly begin: number;
  readonly size: number;
  /** Why it cannot be averaged, if it cannot: `dtype C64`. */
  readonly refusal?: string;
  /** Whether it belongs to an optimizer, whose state is no weight. */
  readonly ofOptimizer?: boolean;
}

/** A file, or several that belong together. */
export interface Source {
  /** As the user called it. */
  readonly path: string;
  /** What it is, in words. */
  readonly kind: string;
  /** What else it says of itself, for a reader. */
  readonly notes: readonly string[];
  /** In the order of their bytes, under names of which no two are equal. */
  readonly tensors: readonly Tensor[];
  /** Whether it is a state of ours, of which tensors are only a part. */
  readonly isState?: boolean;
  /** Fills an array with bytes from a place among those of all tensors; one call at a time. */
  read(bytes: Uint8Array, from: number): Promise<void>;
  close(): Promise<void>;
  /**
   * Begins a file of the same form, in which only the tensors are others.
   *
   * @throws Error if it cannot be written.
   */
  create(file: string): Promise<Output>;
}

/** A file that takes tensors. */
export interface Output {
  /** Where it will be. */
  readonly file: string;
  /** Takes bytes, in the order of the source's; all of them before the next call. */
  write(bytes: Uint8Array): Promise<void>;
  /** Puts the file, which is on the disk then, in its place. */
  commit(): Promise<void>;
  /** Removes all that was made, unless it is in its place; at any moment, from a signal too. */
  discard(): void;
}
