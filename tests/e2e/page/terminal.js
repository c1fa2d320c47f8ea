// A terminal just good enough to be looked at: colours are shown and `clear` clears; every other control sequence
// is left out, and a line is never overwritten.

const SHOWN_CHARACTERS = 20_000;
const CONTROL_SEQUENCE = /\x1b(?:\[([0-?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])/g;

// Draws all of `output` again, so that a sequence cut in two by the network is whole the next time.
export function draw(element, output) {
  const text = output.slice(-SHOWN_CHARACTERS);
  element.replaceChildren();
  let colour = '';
  let position = 0;
  for (const match of text.matchAll(CONTROL_SEQUENCE)) {
    append(element, text.slice(position, match.index), colour);
    position = match.index + match[0].length;
    const [, parameters, command] = match;
    if (command === 'm') colour = colourAfter(colour, parameters);
    if (command === 'J' && parameters === '2') element.replaceChildren();
  }
  append(element, text.slice(position), colour);
  element.scrollTop = element.scrollHeight;
}

function append(element, text, colour) {
  const span = document.createElement('span');
  if (colour) span.className = colour;
  span.textContent = text.replaceAll(/[\r\x07]/g, '').replaceAll(/.?\x08/g, '');
  element.append(span);
}

function colourAfter(colour, parameters) {
  for (const code of parameters.split(';').map(Number)) {
    if (code === 0 || code === 39) colour = '';
    else if (code >= 30 && code <= 37) colour = `colour-${code - 30}`;
  }
  return colour;
}

const KEYS = {
  Enter: '\r',
  Backspace: '\x7f',
  Tab: '\t',
  Escape: '\x1b',
  ArrowUp: '\x1b[A',
  ArrowDown: '\x1b[B',
  ArrowRight: '\x1b[C',
  ArrowLeft: '\x1b[D',
};

// What a pressed key sends to the program; undefined for keys that mean nothing to it.
export function keystroke({ key, ctrlKey }) {
  if (key in KEYS) return KEYS[key];
  if (key.length !== 1) return undefined;
  return ctrlKey ? String.fromCharCode(key.toUpperCase().charCodeAt(0) & 31) : key;
}
