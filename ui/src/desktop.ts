/**
 * What only the desktop app can do. In the console, `desktop` is `undefined`, and pages that need it are not there.
 *
 * Commands fail with a sentence for the person.
 */

import { Channel, invoke } from '@tauri-apps/api/core';
import { listen } from '@tauri-apps/api/event';

/** Which engine runs the programs. */
export type EngineKind = 'native' | 'docker' | 'existing';

/** How the engine stands. */
export interface EngineState {
  kind: EngineKind;
  phase: 'stopped' | 'starting' | 'running' | 'stopping' | 'failed';
  /** Milliseconds since 1970. */
  since: number | null;
  /** Why it stands so, for the person. */
  reason: string | null;
  /** When it failed: the last lines of its log. */
  lines: string[];
  url: string | null;
  port: number;
  /** Who holds the port, if that is why it failed. */
  portHolder: { name: string; pid: number } | null;
  restarts: number;
  /** How many things wait for the person. */
  needsYou: number;
}

/** Settings of the app and of the runtime it starts. */
export interface Settings {
  app: {
    engine: EngineKind;
    launchAtLogin: boolean;
    startHidden: boolean;
    startRuntime: boolean;
    closeToTray: boolean;
    notifications: boolean;
    mhnosAddress: string;
    firstRunDone: boolean;
  };
  runtime: {
    port: number;
    workspace: string;
    sandbox: string;
    allowOpenclaw: boolean;
    maxProcesses: number;
    maxMemory: string | number;
    allowedOrigins: string[];
    logLevel: string;
  };
  /** Names that the environment fixes. */
  overridden: string[];
}

/** What is to be changed; what is absent stays. */
export interface SettingsChanges {
  app: Partial<Settings['app']>;
  runtime: Partial<Settings['runtime']>;
}

/** A check of the doctor. */
export interface DoctorReport {
  healthy: boolean;
  checks: { name: string; status: string; found: string; advice?: string; path?: string; version?: string; fixable?: boolean }[];
}

/** A stream of a Docker command. */
export interface DockerStream {
  id: number;
  stop(): Promise<void>;
}

const commands = {
  engineState: () => invoke<EngineState>('engine_state'),
  onEngine: (told: (state: EngineState) => void) => listen<EngineState>('engine', ({ payload }) => told(payload)),
  engineStart: () => invoke<void>('engine_start'),
  engineStop: () => invoke<void>('engine_stop'),
  engineRestart: () => invoke<void>('engine_restart'),
  engineSwitch: (kind: EngineKind) => invoke<void>('engine_switch', { kind }),
  /** Where the runtime is, and a ticket for one connection to it. */
  connection: () => invoke<{ url: string; ticket: string }>('connection'),
  settings: () => invoke<Settings>('settings'),
  settingsSave: (settings: SettingsChanges) => invoke<void>('settings_save', { settings }),
  open: (what: 'workspace' | 'mhnos' | 'logs' | 'state') => invoke<void>('open', { what }),
  openUrl: (url: string) => invoke<void>('open_url', { url }),
  doctor: () => invoke<DoctorReport>('doctor'),
  doctorFix: (check: string) => invoke<void>('doctor_fix', { check }),
  exportDiagnostics: () => invoke<string | null>('export_diagnostics'),
  chooseFolder: () => invoke<string | null>('choose_folder'),
  reset: () => invoke<void>('reset'),
  quit: () => invoke<void>('quit'),
  docker: <Answer>(args: string[]) => invoke<Answer>('docker', { args }),
  /** Lines of `build`, `logs` or `stats`, until it is stopped or ends. */
  dockerStream: async (args: string[], line: (text: string) => void): Promise<DockerStream> => {
    const channel = new Channel<string>();
    channel.onmessage = line;
    const id = await invoke<number>('docker_stream', { args, channel });
    return { id, stop: () => invoke<void>('docker_stream_stop', { id }) };
  },
};

/** The desktop, where these pages are its window. */
export const desktop = '__TAURI_INTERNALS__' in window ? commands : undefined;

/** A sentence for the person of what a command threw. */
export function sentence(error: unknown): string {
  if (typeof error === 'string') return error;
  return error instanceof Error ? error.message : String(error);
}
