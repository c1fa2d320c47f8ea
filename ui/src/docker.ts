/** What `mhnos-runtime docker … --json` prints. */

/** The engine that was found, and why that one: `docker doctor`. */
export interface DockerFound {
  address: string;
  reason: string;
  product: string;
  version: string;
  interface: string;
  system: string;
  processors: number;
  memory: number;
  warnings: string[];
  images: { name: string; size: number | null }[];
}

/** One of the containers that `docker status` lists. */
export interface DockerContainer {
  container: string;
  image: string | null;
  state: string;
  health: string | null;
  /** Whether the runtime in it answered a moment ago. */
  answers: boolean;
  ports: number[];
  workspace: string | null;
  exitCode: number | null;
  error: string | null;
  startedAt: string | null;
  madeHere: boolean;
}

/** One measurement: a line of `docker stats`. */
export interface DockerUsage {
  /** Percent of one core. */
  processor: number;
  memory: number;
  memoryLimit: number;
  processes: number;
}

/** A line of `docker build`. */
export type DockerProgress =
  | { event: 'step'; number: number; of: number; what: string }
  | { event: 'line'; line: string }
  | { event: 'transfer'; part: string; doing: string; bytes: number | null; of: number | null }
  | { event: 'done'; image: string; id: string; size: number };

/** A line of a stream as what it says, or as it is, where it is no document. */
export function document(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return line;
  }
}
