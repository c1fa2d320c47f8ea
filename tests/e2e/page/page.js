// The page around the client. `window.mhnos` is how the tests reach in.

import { MhnosClient, DEFAULT_ADDRESS } from './mhnos-client.js';
import * as disk from './browser-disk.js';
import { draw, keystroke } from './terminal.js';

const element = (id) => document.getElementById(id);
const parameters = new URLSearchParams(location.search);
const reconnectDelay = Number(parameters.get('reconnectDelay') ?? 5000);

const client = new MhnosClient({ reconnectDelay });
const sessions = new Map();
let shownPid = null;

// Attaches the visible terminal to a process. The session keeps all that the client handed on.
async function openTerminal(pid) {
  const session = { stdout: '', stderr: '', shown: '', exit: null };
  sessions.set(pid, session);
  shownPid = pid;
  element('terminal-title').textContent = `process ${pid}`;
  const show = (text) => {
    session.shown += text;
    if (pid === shownPid) draw(element('terminal'), session.shown);
  };
  const onOutput = (data, stream) => {
    session[stream] += data;
    show(data);
  };
  const onExit = (code, signal) => {
    session.exit = { code, signal };
    show(`\n[Process exited with code ${code}${signal ? ` (${signal})` : ''}]\n`);
  };
  return client.attach(pid, onOutput, onExit);
}

function showStatus() {
  const line = element('status');
  line.dataset.state = client.connected ? 'connected' : 'disconnected';
  if (!client.connected) line.textContent = 'Disconnected';
  else if (!client.greeting) line.textContent = `Connected to ${client.address}`;
  else line.textContent = `Connected to ${client.address}, protocol v${client.greeting.protocolVersion}`;
}

element('address').value = DEFAULT_ADDRESS;
element('connect').addEventListener('submit', (event) => {
  event.preventDefault();
  client.connect(element('address').value).catch((error) => {
    element('status').textContent = error.message;
  });
});
element('terminal').addEventListener('keydown', (event) => {
  const input = keystroke(event);
  if (input === undefined) return;
  event.preventDefault();
  client.write(shownPid, input);
});
client.addEventListener('change', showStatus);
showStatus();

window.mhnos = { client, disk, sessions, openTerminal };
