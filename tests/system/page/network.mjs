// The network between the browser and the server: bytes go through, until the check cuts it.
//
// Chromium's own emulation will not do: it leaves open what is open, and a WebSocket that the page
// then closes is told so only when the network is back if frames were on their way. Here connections
// break as they do when a cable is pulled, in the middle of a stream however fast it is drawn.

import net from 'node:net';

/** A network to one server. */
export class Network {
  /** @param {string} url the server's */
  constructor(url) {
    const { hostname, port } = new URL(url);
    this._far = { host: hostname, port: Number(port) };
    this._pairs = new Set();
    this._isCut = false;
    this._left = Infinity;
    this._server = net.createServer((near) => this._join(near));
  }

  /** Begin to carry; `url` is the server's on this network. */
  async open() {
    await new Promise((resolve) => this._server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${this._server.address().port}`;
    return this;
  }

  /** Cut it once so many bytes more have come from the server; gives when that has happened. */
  cutAfter(bytes) {
    this._left = bytes;
    return new Promise((resolve) => {
      this._onCut = resolve;
    });
  }

  /** Carry again. */
  restore() {
    this._isCut = false;
    this._left = Infinity;
  }

  close() {
    this._cut();
    this._server.close();
  }

  _join(near) {
    if (this._isCut) return near.destroy();
    const far = net.connect(this._far);
    const pair = [near, far];
    this._pairs.add(pair);
    const part = () => {
      this._pairs.delete(pair);
      for (const socket of pair) socket.destroy();
    };
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on('error', part);
      socket.on('close', part);
    }
    far.on('data', (data) => {
      this._left -= data.length;
      if (this._left <= 0) this._cut();
    });
    near.pipe(far);
    far.pipe(near);
  }

  _cut() {
    this._isCut = true;
    for (const sockets of this._pairs) for (const socket of sockets) socket.destroy();
    this._onCut?.();
  }
}
