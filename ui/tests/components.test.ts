/** The components, as a person meets them. */

import { cleanup, render, screen, waitFor } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { createRawSnippet } from 'svelte';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Process } from '@mhnos/runtime-client';
import { runtime } from '../src/bridge/runtime.svelte.ts';
import Button from '../src/components/Button.svelte';
import KillButton from '../src/components/KillButton.svelte';
import Notices from '../src/components/Notices.svelte';
import Palette from '../src/components/Palette.svelte';
import State from '../src/components/State.svelte';
import { killAll } from '../src/actions.ts';
import { shell } from '../src/shell.svelte.ts';

const process = (pid: number): Process => ({
  pid, kind: 'node', command: 'server.js', args: [], cwd: '/', origin: null, started: 0, osPid: 1, terminal: false,
  output: 0, cpu: 0, memory: 0, members: 1, ports: [], exit: null,
});
const text = (content: string) => createRawSnippet(() => ({ render: () => `<span>${content}</span>` }));

beforeEach(() => {
  // What jsdom lacks of a dialog.
  HTMLDialogElement.prototype.showModal = function showModal(this: HTMLDialogElement) {
    this.open = true;
  };
  Element.prototype.scrollIntoView = () => undefined;
});

afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
  runtime.processes = new Map();
  shell.notices = [];
  shell.question = undefined;
  shell.paletteOpen = false;
  shell.selected = undefined;
});

describe('a button', () => {
  test('shows that it is at work, works once, and tells what went wrong', async () => {
    const { promise, reject } = Promise.withResolvers<void>();
    const onclick = vi.fn(() => promise);
    render(Button, { onclick, children: text('Start') });
    render(Notices);
    const button = screen.getByRole('button', { name: 'Start' });
    await userEvent.click(button);
    await userEvent.click(button);
    expect(onclick).toHaveBeenCalledOnce();
    expect(button).toHaveAttribute('aria-busy', 'true');
    reject(new Error('the port is taken: choose another'));
    expect(await screen.findByRole('alert')).toHaveTextContent('The port is taken: choose another');
    await waitFor(() => expect(button).toHaveAttribute('aria-busy', 'false'));
  });
});

test('a state has a word and a shape beside its colour', () => {
  const { container } = render(State, { meaning: 'needs', word: 'Needs you' });
  expect(container).toHaveTextContent('Needs you');
  expect(container.querySelector('svg')).toBeInTheDocument();
});

test('a process that takes its time to end can be forced', async () => {
  const kill = vi.spyOn(runtime, 'kill').mockReturnValue(new Promise(() => undefined));
  render(KillButton, { process: process(1000) });
  await userEvent.click(screen.getByRole('button', { name: 'Kill 1000' }));
  await userEvent.click(await screen.findByRole('button', { name: 'Force kill 1000' }));
  expect(kill.mock.calls).toEqual([[1000], [1000, true]]);
});

test('several processes are ended only after a question that names them', async () => {
  const kill = vi.spyOn(runtime, 'kill').mockResolvedValue();
  killAll([process(1), process(2), process(3)]);
  expect(kill).not.toHaveBeenCalled();
  expect(shell.question?.title).toBe('Kill 3 processes?');
  expect(shell.question?.text).toContain('node server.js');
  await shell.question?.perform();
  expect(kill.mock.calls.map(([pid]) => pid)).toEqual([1, 2, 3]);
});

describe('the palette', () => {
  test('finds by letters, and arrows and Enter choose', async () => {
    runtime.processes = new Map([[1000, process(1000)]]);
    render(Palette);
    const field = screen.getByRole('combobox');
    await userEvent.type(field, 'opnod');
    expect(screen.getAllByRole('option')[0]).toHaveTextContent('Open node server.js');
    await userEvent.clear(field);
    await userEvent.type(field, 'server');
    expect(screen.getAllByRole('option').map((option) => option.getAttribute('aria-selected'))).toEqual(['true', 'false']);
    await userEvent.keyboard('{ArrowUp}{ArrowDown}{Enter}');
    expect([shell.page, shell.selected, shell.paletteOpen]).toEqual(['processes', 1000, false]);
  });

  test('says when there is nothing of that name', async () => {
    render(Palette);
    await userEvent.type(screen.getByRole('combobox'), 'zzzz');
    expect(screen.getByText('Nothing has this name')).toBeInTheDocument();
  });
});
