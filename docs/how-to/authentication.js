// Log in, and keep a WebSocket open for longer than a token is valid.
async function logIn(base, username, password) {
  const answer = await fetch(`${base}/api/auth/login`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ username, password }),
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail); // 401, or 429 after failures
  return body; // { token, role, expires_at }
}

async function stayConnected(base, username, password, onMessage) {
  const { token } = await logIn(base, username, password);
  const url = base.replace(/^http/, 'ws') + '/stream';
  // A browser cannot send an Authorization header here: the token goes where a subprotocol would.
  const socket = new WebSocket(url, ['antiphon.bearer', token]);
  socket.onmessage = ({ data }) => onMessage(JSON.parse(data), socket);
  socket.onclose = ({ code, reason }) => {
    // The token has expired: log in again. What ran goes on: `subscribe` with the last cursor.
    if (code === 1008 && reason === 'unauthenticated') {
      stayConnected(base, username, password, onMessage);
    }
  };
  return socket;
}
