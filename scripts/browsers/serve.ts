/** The one static server of all that a browser opens: esbuild's. It knows nothing of the files. */
import { context } from 'esbuild';

/** A server for this machine alone. */
export interface Server {
  /** Where the folder is, with a slash at the end. */
  readonly address: string;
  readonly close: () => Promise<void>;
}

/**
 * Serves a folder's files. They are built before: what esbuild serves of its own building it builds
 * anew at every request.
 */
export async function serve(folder: string): Promise<Server> {
  const server = await context({});
  try {
    // A secure context, which WebGPU wants: 127.0.0.1 is one.
    const { port } = await server.serve({ servedir: folder, host: '127.0.0.1' });
    return { address: `http://127.0.0.1:${port}/`, close: () => server.dispose() };
  } catch (error) {
    await server.dispose();
    throw error;
  }
}
