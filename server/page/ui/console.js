/**
 * Talking to `/ws` by hand: connect, choose a type, send, watch. What is sent goes out as it is
 * written, right or wrong: that is how one learns what the server says to it.
 * @module
 */

import { client } from './account.js';
import { button, field, h, options } from './dom.js';

/** A message of each type to begin with. */
const TEMPLATES = {
  openai_chat: { type: 'openai_chat', data: { input_text: 'Hello, world!' } },
  chat: { type: 'chat', data: { message: 'Hello!', persona_id: 'data_scientist' } },
  multi_chat: {
    type: 'multi_chat',
    data: { message: 'Hello!', persona_ids: ['tech_enthusiast', 'creative_writer'] },
  },
  cancel: { type: 'cancel' },
  subscribe: { type: 'subscribe', session_id: '', after: '' },
  ping: { type: 'ping' },
};

/** A connection that a person holds. */
export class WireConsole {
  /** @param {(message: object, isSent: boolean) => void} show is given all that goes either way */
  constructor(show) {
    this._show = show;
    this._socket = null;
    this.status = h('span', { role: 'status' }, 'Not connected.');
    this.connectButton = button('Connect', () => (this._socket ? this._socket.close() : this._connect()), 'small');
    this.sendButton = button('Send message', () => this._send(), 'small', { disabled: true });
    this.type = h('select', { onchange: () => this._fill() },
      ...options(Object.keys(TEMPLATES), 'openai_chat'));
    this.text = h('textarea', { rows: 5, class: 'mono', spellcheck: false });
    this._fill();
    this.element = h('details', { class: 'more' },
      h('summary', {}, 'Send by hand'),
      h('div', { class: 'fields' },
        h('div', { class: 'row wide' }, this.connectButton, this.status),
        field('Message type', this.type),
        field('What to send', this.text, { wide: true }),
        this.sendButton));
  }

  _fill() {
    this.text.value = JSON.stringify(TEMPLATES[this.type.value], null, 1);
  }

  _connect() {
    const socket = client.server.socket('/ws');
    this._socket = socket;
    this.status.textContent = 'Connecting …';
    this.connectButton.textContent = 'Disconnect';
    socket.onopen = () => {
      this.status.textContent = 'Connected.';
      this.sendButton.disabled = false;
    };
    socket.onmessage = ({ data }) => this._show(JSON.parse(data), false);
    socket.onclose = ({ code, reason }) => {
      this._socket = null;
      this.status.textContent = `Closed (${code}${reason ? `: ${reason}` : ''}).`;
      this.connectButton.textContent = 'Connect';
      this.sendButton.disabled = true;
    };
  }

  _send() {
    const text = this.text.value;
    this._socket?.send(text);
    this._show({ type: 'sent', text }, true);
  }
}
