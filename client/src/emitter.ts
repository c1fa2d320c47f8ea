/**
 * A small typed source of events.
 *
 * @module
 */

/**
 * Told of the events of one name.
 *
 * @typeParam Value - what comes with the event.
 */
export type Listener<Value> = (value: Value) => void;

/**
 * A source of events.
 *
 * @typeParam Events - the name of each event, and what comes with it.
 */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<Listener<never>>>();

  /**
   * Listens from now on.
   *
   * @returns a function that ends it.
   */
  on<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }

  /** Tells all who listen. A listener that throws is reported and keeps nobody else from being told. */
  protected emit<Name extends keyof Events>(name: Name, value: Events[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        (listener as Listener<Events[Name]>)(value);
      } catch (error) {
        reportError(error);
      }
    }
  }
}

/** As an uncaught exception would be, also where `globalThis.reportError` is missing (Node). */
function reportError(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
