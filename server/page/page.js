/**
 * The page: one section for each of the five words, and the observer; which one is shown says the
 * address. A section is made when it is first opened, and stays: leaving it stops nothing.
 * @module
 */

import { client, currentUser } from './ui/account.js';
import { accountButton, loginDialog } from './ui/login.js';
import { banner } from './ui/banner.js';
import { button, h } from './ui/dom.js';
import { raw } from './ui/raw.js';
import { themeButton } from './ui/theme.js';

const SECTIONS = {
  generate: () => import('./sections/generate.js'),
  persona: () => import('./sections/persona.js'),
  content: () => import('./sections/content.js'),
  rater: () => import('./sections/rater.js'),
  exhibition: () => import('./sections/exhibition.js'),
  observer: () => import('./sections/observer.js'),
};

const main = document.getElementById('main');
const made = new Map();

async function show() {
  const wanted = location.hash.slice(1).split('/')[0];
  if (wanted === 'main') return; // the link that skips the navigation
  const name = wanted in SECTIONS ? wanted : 'generate';
  if (name !== wanted) history.replaceState(null, '', `#${name}`);
  for (const link of document.querySelectorAll('nav a')) {
    const isHere = link.getAttribute('href') === `#${name}`;
    link.toggleAttribute('aria-current', isHere);
    if (isHere) {
      link.setAttribute('aria-current', 'page');
      link.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    }
  }
  if (!made.has(name)) {
    const element = h('section', { id: `section-${name}`, 'aria-labelledby': `title-${name}` });
    made.set(name, { element });
    main.append(element);
    const { open } = await SECTIONS[name]();
    made.set(name, { element, ...(await open(element, client)) });
  }
  for (const [each, { element, shown }] of made) {
    element.hidden = each !== name;
    shown?.(each === name);
  }
  document.title = `${document.getElementById(`title-${name}`)?.textContent ?? ''} · Antiphon`;
}

document.getElementById('tools').append(raw.toggle, themeButton(), accountButton());
document.querySelector('.columns').append(raw.element);
document.body.append(loginDialog());
window.addEventListener('hashchange', show);
await currentUser();
await Promise.all([show(), banner(document.getElementById('banner'), client)]);
document.body.dataset.ready = 'true';
