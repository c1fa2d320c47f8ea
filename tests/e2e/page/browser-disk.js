// The browser's own disk (origin private file system), with absolute paths as MHNOS writes them.

const namesIn = (path) => path.split('/').filter((name) => name !== '');

async function directory(names, options) {
  let handle = await navigator.storage.getDirectory();
  for (const name of names) handle = await handle.getDirectoryHandle(name, options);
  return handle;
}

async function fileHandle(path, options) {
  const names = namesIn(path);
  const parent = await directory(names.slice(0, -1), options);
  return parent.getFileHandle(names.at(-1), options);
}

export async function makeDirectory(path) {
  await directory(namesIn(path), { create: true });
}

// `content` is text or bytes.
export async function write(path, content) {
  const writable = await (await fileHandle(path, { create: true })).createWritable();
  await writable.write(content);
  await writable.close();
}

export async function read(path) {
  const file = await (await fileHandle(path)).getFile();
  return { bytes: new Uint8Array(await file.arrayBuffer()), mtime: file.lastModified };
}

// Every folder and file, a folder before what it holds.
export async function list(names = []) {
  const entries = [];
  for await (const [name, handle] of await directory(names)) {
    const inside = [...names, name];
    entries.push({ path: `/${inside.join('/')}`, kind: handle.kind });
    if (handle.kind === 'directory') entries.push(...(await list(inside)));
  }
  return entries;
}

export async function clear() {
  const root = await directory([]);
  for await (const name of root.keys()) await root.removeEntry(name, { recursive: true });
}
