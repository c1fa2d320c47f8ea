/** The desktop's engine; in the console there is none, and the runtime that serves the page simply runs. */

import { desktop, sentence, type EngineKind, type EngineState, type Settings } from '../desktop.ts';
import { link } from './connection.svelte.ts';

class Engine {
  state = $state.raw<EngineState | undefined>();
  settings = $state.raw<Settings | undefined>();
  firstRun = $state(false);
  problem = $state('');

  async begin(): Promise<void> {
    if (!desktop) return;
    try {
      await desktop.onEngine((state) => this.#told(state));
      this.#told(await desktop.engineState());
      await this.load();
      this.firstRun = this.settings?.app.firstRunDone === false;
    } catch (error) {
      this.problem = sentence(error);
    }
  }

  async load(): Promise<void> {
    this.settings = await desktop?.settings();
  }

  /** Keeps what was changed here, and only that: the rest may have been changed elsewhere, by the tray, in the meantime. */
  async save(settings: Settings): Promise<void> {
    const before = this.settings;
    await desktop?.settingsSave({ app: changed(before?.app, settings.app), runtime: changed(before?.runtime, settings.runtime) });
    await this.load();
  }

  async switchTo(kind: EngineKind): Promise<void> {
    await desktop?.engineSwitch(kind);
    await this.load();
  }

  #told(state: EngineState): void {
    this.state = state;
    if (state.phase === 'running') void link.engineRuns();
  }
}

/** The fields of a group that differ. */
function changed<Group extends object>(before: Group | undefined, after: Group): Partial<Group> {
  const differs = (name: keyof Group): boolean => JSON.stringify(before?.[name]) !== JSON.stringify(after[name]);
  const names = Object.keys(after) as (keyof Group)[];
  return Object.fromEntries(names.filter(differs).map((name) => [name, after[name]])) as Partial<Group>;
}

/** The one engine. */
export const engine = new Engine();

/** An engine's name on the screen. */
export const ENGINE_NAMES: Record<EngineKind, string> = {
  native: 'natively',
  docker: 'in Docker',
  existing: 'as a service',
};
