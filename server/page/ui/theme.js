/**
 * Light, dark, or as the system has it.
 * @module
 */

import { button } from './dom.js';

const NEXT = { auto: 'light', light: 'dark', dark: 'auto' };
const ICON = { auto: '◐', light: '☀', dark: '☾' };

export function themeButton() {
  let theme = localStorage.getItem('theme') ?? 'auto';
  if (!(theme in NEXT)) theme = 'auto';
  const it = button('', () => {
    theme = NEXT[theme];
    localStorage.setItem('theme', theme);
    apply();
  }, 'small');
  const apply = () => {
    if (theme === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    it.textContent = ICON[theme];
    it.setAttribute('aria-label', `Theme: ${theme}; press for ${NEXT[theme]}`);
    it.title = `Theme: ${theme}`;
  };
  apply();
  return it;
}
