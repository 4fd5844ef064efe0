// What the page around the seed's client would bring: a document that prints, and cards that are names.
globalThis.sessionId = process.env.SESSION_ID;
const element = (id) => ({
  id,
  classList: { remove: (name) => console.log('show', id, 'without', name) },
  appendChild: (card) => console.log('card', id, card),
  set textContent(text) { console.log('text', id, text.split(/\s+/).length); },
});
globalThis.document = { getElementById: element };
globalThis.updateProgress = (progress, message) => console.log('progress', progress, message);
globalThis.createArtistCard = (artist) => `${artist.name} ${artist.score}`;
globalThis.createArtworkCard = (artwork) => `${artwork.title} by ${artwork.artist_name}`;
globalThis.displayError = (error) => console.log('error', error);
globalThis.fetchProposal = (url) => {
  console.log('proposal', url);
  process.exit(0);
};
