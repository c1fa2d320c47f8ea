// The console's behaviour: one connection of protocol 2.0, opened with the ticket of the address, and three lists.

const RESUME_KEY = 'mhnos.resume';
const RECONNECT_DELAY = 2000;
const STATES = {
  allowed: 'always',
  allowedOnce: 'while it stays open',
  allowedBySettings: 'by the settings',
  denied: 'denied',
  waiting: 'waits',
  unknown: 'not decided',
};

const element = (id) => document.getElementById(id);
const processes = new Map();
let socket;
let nextId = 1;
const answers = new Map();

// The ticket leaves the address at once: it is not to be found in the history, nor to be copied with the address.
function takeTicket() {
  const ticket = new URLSearchParams(location.hash.slice(1)).get('ticket');
  if (ticket) history.replaceState(null, '', location.pathname);
  const resume = sessionStorage.getItem(RESUME_KEY);
  sessionStorage.removeItem(RESUME_KEY);
  return ticket ?? resume;
}

function say(sentence) {
  element('state').textContent = sentence;
}

function request(type, fields = {}) {
  const id = nextId++;
  socket.send(JSON.stringify({ type, id, ...fields }));
  return new Promise((resolve, reject) => answers.set(id, { resolve, reject }));
}

function connect() {
  const ticket = takeTicket();
  if (!ticket) {
    say('This page needs a ticket. Open it with: mhnos-runtime console');
    return;
  }
  socket = new WebSocket(`ws://${location.host}/`, ['mhnos.v2', `mhnos.ticket.${ticket}`]);
  let welcomed = false;
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === 'welcome') {
      welcomed = true;
      begin(message).catch((error) => say(error.message));
    } else if (message.type === 'event') {
      take(message.event);
    } else {
      const answer = answers.get(message.id);
      answers.delete(message.id);
      if (message.type === 'error') answer?.reject(new Error(message.error));
      else answer?.resolve(message);
    }
  };
  socket.onclose = () => {
    if (!welcomed) {
      say('The ticket was used up or is too old, or the runtime was started anew. Open this page with: mhnos-runtime console');
      return;
    }
    say('The runtime is not there. Trying again…');
    setTimeout(connect, RECONNECT_DELAY);
  };
}

async function begin({ version, workspace }) {
  // For the next connection: when this page is loaded anew, or the connection is lost.
  const { ticket } = await request('ticket', { resume: true });
  sessionStorage.setItem(RESUME_KEY, ticket);
  const listed = await request('subscribe', { topics: ['processes', 'origins'] });
  processes.clear();
  listed.processes.forEach((process) => processes.set(process.pid, process));
  showPrograms();
  await listPages();
  const { status } = await request('status');
  say(`${version} · ${workspace} · sandbox: ${status.sandboxAchieved}`);
}

function take(event) {
  switch (event.kind) {
    case 'originAsked':
    case 'originChanged':
      listPages().catch((error) => say(error.message));
      break;
    case 'processStarted':
      processes.set(event.process.pid, event.process);
      showPrograms();
      break;
    case 'processEnded':
      processes.delete(event.process.pid);
      showPrograms();
      break;
    case 'processChanged': {
      const process = processes.get(event.pid);
      if (process) process.memory = event.memory;
      showPrograms();
      break;
    }
  }
}

async function listPages() {
  const { origins } = await request('origins');
  const waiting = origins.filter(({ state }) => state === 'waiting');
  const others = origins.filter(({ state }) => state !== 'waiting');
  element('asking').hidden = waiting.length === 0;
  element('questions').replaceChildren(...waiting.map(question));
  element('pages').replaceChildren(...others.map(pageRow));
  element('no-pages').hidden = others.length > 0;
}

function question({ origin }) {
  const text = node('span', { textContent: `${origin} wants to run programs and change files of the workspace` });
  const actions = node('div', { className: 'actions' });
  actions.append(
    button('Deny', () => request('denyOrigin', { origin })),
    button('Allow once', () => request('allowOrigin', { origin, once: true })),
    button('Files only', () => request('allowOrigin', { origin, access: 'files' })),
    button('Always allow', () => request('allowOrigin', { origin })),
  );
  const item = node('li');
  item.append(text, actions);
  return item;
}

function pageRow({ origin, state, access, connections }) {
  const may = access === 'files' ? `files only, ${STATES[state]}` : STATES[state];
  const actions = node('div', { className: 'actions' });
  if (state === 'denied' || state === 'unknown') {
    actions.append(button('Allow', () => request('allowOrigin', { origin })));
  } else if (state !== 'allowedBySettings') {
    actions.append(button('Revoke', () => request('revokeOrigin', { origin }), 'danger'));
  }
  return row([origin, may, number(connections), actions]);
}

function showPrograms() {
  const running = [...processes.values()].filter(({ exit }) => !exit);
  element('programs').replaceChildren(...running.map(programRow));
  element('no-programs').hidden = running.length > 0;
}

function programRow({ pid, kind, command, args, origin, memory }) {
  const actions = node('div', { className: 'actions' });
  actions.append(button('Kill', () => request('kill', { pid }), 'danger'));
  const megabytes = `${Math.round(memory / 1048576)} MB`;
  return row([number(pid), [kind, command, ...args].join(' '), origin ?? 'a local program', number(megabytes), actions]);
}

function number(value) {
  return Object.assign(node('td', { textContent: value }), { className: 'number' });
}

function row(cells) {
  const line = node('tr');
  for (const cell of cells) {
    if (cell instanceof HTMLTableCellElement) line.append(cell);
    else {
      const column = node('td');
      column.append(cell);
      line.append(column);
    }
  }
  return line;
}

function button(textContent, act, className = '') {
  const made = node('button', { textContent, className, type: 'button' });
  made.addEventListener('click', () => {
    made.disabled = true;
    act()
      .then(listPages)
      .catch((error) => say(error.message))
      .finally(() => (made.disabled = false));
  });
  return made;
}

function node(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}

connect();
