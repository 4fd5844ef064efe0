// Gives the seed's client, which was written for browsers, the WebSocket that Node lacks.
globalThis.WebSocket = require('ws');
