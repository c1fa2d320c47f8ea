// A client of the MHNOS runtime to start your own from: connects, runs a program, prints what the program prints.
//   node examples/test-client.mjs [ws://localhost:18790] [--token-file FILE]
// Node 22 or later; with Node 20: node --experimental-websocket examples/test-client.mjs
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { 'token-file': { type: 'string' } } });
const address = positionals[0] ?? 'ws://localhost:18790';
const stateFolder = process.env.MHNOS_STATE_DIR ?? join(homedir(), '.local/state/mhnos');
const tokenFile = values['token-file'] ?? join(stateFolder, 'token');
const program = 'for (const line of ["Hello from", `Node ${process.version} in`, process.cwd()]) console.log(line)';

function stop(sentence) {
  console.error(sentence);
  process.exit(1);
}

function readToken() {
  try {
    return readFileSync(tokenFile, 'utf8').trim();
  } catch (error) {
    stop(`Cannot read the token (${error.message}): start the runtime once, or name the file with --token-file.`);
  }
}

if (!globalThis.WebSocket) stop('This Node has no WebSocket: use Node 22 or later, or --experimental-websocket.');
const socket = new WebSocket(address, { headers: { Authorization: `Bearer ${readToken()}` } });
socket.onopen = () => {
  socket.onclose = () => stop('The runtime closed the connection.');
  socket.send(JSON.stringify({ type: 'spawn', id: 'req-1', processType: 'node', command: '-e', args: [program] }));
};
socket.onmessage = ({ data }) => {
  const message = JSON.parse(data);
  if (message.type === 'stdout') process.stdout.write(message.data);
  if (message.type === 'stderr') process.stderr.write(message.data);
  if (message.type === 'exit') process.exit(message.code ?? 1);
  if (message.type === 'error') stop(`The runtime refused: ${message.error}`);
};
// A socket does not tell why it did not open, but the runtime answers everybody at /health.
socket.onerror = async () => {
  const answers = await fetch(`${address.replace(/^ws/, 'http')}/health`).then(({ ok }) => ok, () => false);
  if (answers) stop(`The runtime at ${address} refused the connection: is the token in ${tokenFile} its own?`);
  stop(`No runtime answers at ${address}: start one with mhnos-runtime serve.`);
};
