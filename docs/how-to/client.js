// A client by the rules of the page, without a library. `show(parts)` gets all texts so far.
function follow(base, request, show) {
  const parts = new Map();
  const key = (target) => JSON.stringify(target);
  let session, cursor, socket, timer, ended = false, wait = 100;

  function open() {
    socket = new WebSocket(base.replace(/^http/, 'ws') + '/stream');
    socket.onopen = () => say(session
      ? { type: 'subscribe', session_id: session, after: cursor }
      : request);
    socket.onmessage = ({ data }) => hear(JSON.parse(data));
    socket.onclose = () => {
      if (ended) return;
      timer = setTimeout(open, wait * (0.5 + Math.random() / 2));
      wait = Math.min(wait * 2, 5000);
    };
  }

  function say(message) {
    socket.send(JSON.stringify(message));
  }

  function hear(message) {
    if (message.refused) return finish(message); // nothing began, nothing ended by it
    if (message.seq === undefined) return; // of the connection: draining, pong, notice …
    wait = 100;
    session = message.session_id;
    cursor = `${message.epoch}:${message.seq}`;
    const target = key(message.target ?? { prompt_id: message.prompt_id });
    if (message.type === 'chunk') parts.set(target, (parts.get(target) ?? '') + message.content);
    if (message.type === 'attempt') parts.set(target, '');
    show(parts, message);
    if (['result', 'error', 'cancelled'].includes(message.type)) finish(message);
  }

  function finish() {
    ended = true;
    clearTimeout(timer);
    socket.close();
  }

  open();
  return {
    cancel: () => session && say({ type: 'cancel', session_id: session }),
    drop: () => socket.close(), // as if the network had gone
  };
}
