/**
 * The pages of MHNOS Runtime. The same build is the console at the runtime's own address and the window of the desktop app; what only the
 * desktop can do is in `desktop.ts`, all else goes over the runtime's socket (`bridge/`).
 */

import { mount } from 'svelte';
import '@xterm/xterm/css/xterm.css';
import './app.css';
import App from './App.svelte';

const target = document.getElementById('app');
if (target) mount(App, { target });
