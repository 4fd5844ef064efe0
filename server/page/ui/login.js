/**
 * Logging in, where the server asks for it.
 * @module
 */

import { currentUser, logIn, logOut, user } from './account.js';
import { button, field, h } from './dom.js';

export function loginDialog() {
  const name = h('input', { name: 'username', autocomplete: 'username', required: true });
  const password = h('input', {
    name: 'password',
    type: 'password',
    autocomplete: 'current-password',
    required: true,
  });
  const said = h('p', { role: 'alert', class: 'error' });
  const form = h(
    'form',
    { method: 'dialog', class: 'fields' },
    h('h2', { id: 'login-title' }, 'Log in'),
    field('User', name, { wide: true }),
    field('Password', password, { wide: true }),
    said,
    h('div', { class: 'row' },
      h('button', { class: 'primary', type: 'submit' }, 'Log in'),
      button('Close', () => dialog.close())),
  );
  const dialog = h('dialog', { id: 'login', 'aria-labelledby': 'login-title' }, form);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    said.textContent = '';
    try {
      await logIn(name.value, password.value);
      password.value = '';
      dialog.close();
      location.reload(); // every section begins anew as this user
    } catch (error) {
      said.textContent = error.message;
      password.select();
    }
  });
  const open = () => dialog.open || dialog.showModal();
  document.addEventListener('login-needed', open);
  document.addEventListener('user-changed', () => {
    if (!user.authenticated) open();
  });
  return dialog;
}

export function accountButton() {
  const it = button('Log in', async () => {
    if (!user.authenticated) return document.dispatchEvent(new Event('login-needed'));
    await logOut();
    location.reload();
  }, 'small', { hidden: true });
  document.addEventListener('user-changed', () => {
    it.hidden = !user.isRequired;
    it.textContent = user.authenticated ? `Log out ${user.sub}` : 'Log in';
  });
  return it;
}

export { currentUser };
