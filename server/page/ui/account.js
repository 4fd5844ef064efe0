/**
 * Who uses the page: the token, for this tab only, and the client that sends it along.
 * @module
 */

import { createClient } from '../antiphon.js';

const KEY = 'antiphon.token';

export const token = () => sessionStorage.getItem(KEY) ?? undefined;

export const client = createClient({ token });

/** What the server says of who asks; without authentication everybody is an admin. */
export let user = { authenticated: true, role: 'admin', sub: '', isRequired: false };

/** Ask the server who this is. */
export async function currentUser() {
  try {
    const said = await client.server.json('/api/auth/check');
    user = { ...said, isRequired: Boolean(token()) || said.required === true };
  } catch (error) {
    const isRequired = error.status === 401;
    const role = isRequired ? '' : 'admin';
    user = { authenticated: !isRequired, role, sub: '', isRequired };
  }
  document.body.dataset.role = user.role ?? '';
  document.dispatchEvent(new Event('user-changed'));
  return user;
}

/** Log in; throws what the server says. */
export async function logIn(username, password) {
  const answer = await client.server.json('/api/auth/login', {
    method: 'POST',
    json: { username, password },
  });
  sessionStorage.setItem(KEY, answer.token);
  return currentUser();
}

export function logOut() {
  sessionStorage.removeItem(KEY);
  return currentUser();
}
