// Servers of the tests' own: one gives out the page, one accepts every socket.

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { pageFolder } from './settings.mjs';

const CONTENT_TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8' };
const WEBSOCKET_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

// Listens on a free port; `close` also ends what is connected.
export async function listen(server) {
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const close = () =>
    new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
  return { port: server.address().port, close };
}

// Gives out the page on a port of its own, which makes each of these servers another origin.
export async function startPageServer() {
  const server = http.createServer(async (incoming, response) => {
    const { pathname } = new URL(incoming.url, 'http://page');
    const name = pathname === '/' ? 'index.html' : path.basename(pathname);
    try {
      const content = await readFile(path.join(pageFolder, name));
      response.writeHead(200, { 'Content-Type': CONTENT_TYPES[path.extname(name)] }).end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  const { port, close } = await listen(server);
  return { port, close, origin: `http://127.0.0.1:${port}` };
}

// Accepts every socket and lets every page read its answers: what a runtime without a gate would do. An attack
// that does not even reach this server proves nothing when it fails at the runtime.
export async function startOpenDoor() {
  const handshakes = [];
  const sockets = new Set();
  const server = http.createServer((_incoming, response) => {
    response.writeHead(200, { 'Access-Control-Allow-Origin': '*' }).end('open');
  });
  server.on('upgrade', (incoming, socket) => {
    handshakes.push({ host: incoming.headers.host, origin: incoming.headers.origin });
    sockets.add(socket);
    socket.on('error', () => {});
    const key = incoming.headers['sec-websocket-key'] + WEBSOCKET_GUID;
    const accept = createHash('sha1').update(key).digest('base64');
    const head = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade'];
    socket.write([...head, `Sec-WebSocket-Accept: ${accept}`, '', ''].join('\r\n'));
  });
  const { port, close } = await listen(server);
  const closeAll = () => {
    for (const socket of sockets) socket.destroy();
    return close();
  };
  return { port, handshakes, close: closeAll };
}

// A port that nobody holds now.
export async function freePort() {
  const { port, close } = await listen(http.createServer());
  await close();
  return port;
}
