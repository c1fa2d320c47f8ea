/**
 * The connection to the runtime, as the pages see it.
 *
 * Each socket takes a ticket, which is good once. The first comes with the address's fragment (console) or from the desktop; each
 * connection asks for the next one, so that a lost socket or a reload needs nobody. A runtime that was started anew knows none of them:
 * the desktop then gives another, and the console says how to get one.
 */

import { connect, TICKET_SUBPROTOCOL, type Connection } from '@mhnos/runtime-client';
import { desktop } from '../desktop.ts';

const RESUME_KEY = 'mhnos.resume';

/** Where the connection stands: `ticket`: the person has to open the page anew. */
export type LinkState = 'connecting' | 'open' | 'offline' | 'ticket';

class Link {
  state = $state<LinkState>('connecting');
  reason = $state('');
  /** The runtime's address, for people. */
  address = $state('');
  version = $state('');
  workspace = $state('');
  connection = $state.raw<Connection | undefined>();

  #ticket: string | undefined;
  #url = '';
  /** Whether a socket of the present ticket was opened. */
  #tried = false;
  #listeners: ((connection: Connection) => void)[] = [];

  /** Calls back with the connection there is. */
  onConnection(listener: (connection: Connection) => void): void {
    this.#listeners.push(listener);
  }

  /** The connection; only pages that are shown while there is one may ask. */
  get live(): Connection {
    if (!this.connection) throw new Error('the runtime is not connected');
    return this.connection;
  }

  /** Connects, and stays so. */
  async begin(): Promise<void> {
    if (desktop) {
      await this.#fromDesktop();
      if (this.#url === '') {
        // Nothing runs yet. The engine's event begins anew.
        this.state = 'offline';
        return;
      }
    } else {
      this.#url = `ws://${location.host}/`;
      this.#ticket = takeTicket();
      if (this.#ticket === undefined) {
        this.state = 'ticket';
        return;
      }
    }
    this.#open();
  }

  /** The desktop's engine runs, maybe at another address. */
  async engineRuns(): Promise<void> {
    if (this.state === 'open') return;
    const before = this.#url;
    await this.#fromDesktop();
    if (this.#url !== before) this.connection?.close();
    if (this.connection === undefined || this.#url !== before) this.#open();
  }

  #open(): void {
    this.address = this.#url.replace(/\/$/, '').replace('127.0.0.1', 'localhost');
    const webSocket = (address: string, protocol: string): WebSocket => {
      this.#tried = true;
      return new WebSocket(address, [protocol, TICKET_SUBPROTOCOL + (this.#ticket ?? 'none')]);
    };
    const connection = connect(this.#url, { webSocket, longestPause: 2000 });
    connection.on('open', (welcome) => {
      this.version = welcome.version;
      this.workspace = welcome.workspace;
      void this.#nextTicket(connection);
    });
    connection.on('state', ({ state, reason }) => {
      if (this.connection !== connection) return;
      if (state === 'open') this.state = 'open';
      else if (state === 'offline') {
        this.state = 'offline';
        void this.#unreachable(connection);
      }
      this.reason = reason;
    });
    this.connection = connection;
    this.#tried = false;
    for (const listener of this.#listeners) listener(connection);
  }

  async #nextTicket(connection: Connection): Promise<void> {
    try {
      const origin = desktop ? { origin: location.origin } : {};
      const { ticket } = await connection.ask({ type: 'ticket', resume: true, ...origin }, 'ticket');
      this.#ticket = ticket;
      this.#tried = false;
      if (!desktop) sessionStorage.setItem(RESUME_KEY, ticket);
    } catch {
      // The socket was lost at once: the next one asks again.
    }
  }

  async #fromDesktop(): Promise<void> {
    try {
      const given = await desktop?.connection();
      if (!given) return;
      this.#url = given.url;
      this.#ticket = given.ticket;
      this.#tried = false;
    } catch (error) {
      this.reason = String(error);
    }
  }

  /** Whether the runtime is gone, or is there and refuses the ticket. */
  async #unreachable(connection: Connection): Promise<void> {
    if (!this.#tried) return;
    if (desktop) {
      await this.#fromDesktop();
      return;
    }
    try {
      const health = await fetch('/health', { cache: 'no-store' });
      if (!health.ok || connection.state === 'open' || connection.state === 'connecting' || !this.#tried) return;
      connection.close();
      sessionStorage.removeItem(RESUME_KEY);
      this.state = 'ticket';
    } catch {
      // Not there: the ticket was not shown to anybody and is still good, if it is the same runtime that comes back.
    }
  }
}

/** The ticket leaves the address at once: it is not to be found in the history, nor to be copied with the address. */
function takeTicket(): string | undefined {
  const ticket = new URLSearchParams(location.hash.slice(1)).get('ticket');
  if (ticket) history.replaceState(null, '', location.pathname);
  const resume = sessionStorage.getItem(RESUME_KEY);
  sessionStorage.removeItem(RESUME_KEY);
  return ticket ?? resume ?? undefined;
}

/** The one connection of the pages. */
export const link = new Link();
