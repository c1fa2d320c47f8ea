/** What belongs to the window as a whole: which page is shown, what is asked, what is told. */

import { sentence } from './desktop.ts';

/** The pages, by the names of their addresses. */
export type PageName = 'overview' | 'processes' | 'logs' | 'files' | 'connections' | 'docker' | 'doctor' | 'settings';

/** A question before something that cannot be undone. */
export interface Question {
  title: string;
  /** What is lost. */
  text: string;
  /** The verb on the button. */
  action: string;
  perform: () => void | Promise<void>;
}

/** A sentence that goes by itself. */
export interface Notice {
  id: number;
  text: string;
  failed: boolean;
  /** What takes it back, by the word on its button. */
  back?: { word: string; perform: () => void | Promise<void> };
}

const NOTICE_TIME = 6000;

const PAGES: PageName[] = ['overview', 'processes', 'logs', 'files', 'connections', 'docker', 'doctor', 'settings'];

class Shell {
  page = $state<PageName>('overview');
  question = $state<Question | undefined>();
  notices = $state<Notice[]>([]);
  paletteOpen = $state(false);
  newProcess = $state(false);
  /** The process whose drawer is open. */
  selected = $state<number | undefined>();
  /** What the logs are filtered by when they are opened from elsewhere. */
  logSource = $state('all');
  #next = 1;

  constructor() {
    const read = (): void => {
      const name = location.hash.slice(2);
      if ((PAGES as string[]).includes(name)) this.page = name as PageName;
    };
    if (location.hash.startsWith('#/')) read();
    window.addEventListener('hashchange', read);
  }

  go(page: PageName): void {
    this.page = page;
    history.replaceState(null, '', `${location.pathname}#/${page}`);
  }

  openProcess(pid: number): void {
    this.selected = pid;
    this.go('processes');
  }

  ask(question: Question): void {
    this.question = question;
  }

  tell(text: string, back?: Notice['back']): void {
    this.#notice({ text, failed: false, ...(back ? { back } : {}) });
  }

  fail(error: unknown): void {
    const text = sentence(error);
    this.#notice({ text: text.charAt(0).toUpperCase() + text.slice(1), failed: true });
  }

  dismiss(id: number): void {
    this.notices = this.notices.filter((notice) => notice.id !== id);
  }

  #notice(notice: Omit<Notice, 'id'>): void {
    const id = this.#next++;
    this.notices = [...this.notices.slice(-2), { id, ...notice }];
    setTimeout(() => this.dismiss(id), notice.failed ? NOTICE_TIME * 2 : NOTICE_TIME);
  }
}

/** The one window. */
export const shell = new Shell();
