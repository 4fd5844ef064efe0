/**
 * Says when what is written is simulated: nobody should take it for a model's work.
 * @module
 */

import { h } from './dom.js';

/**
 * @param {HTMLElement} place
 * @param {import('../antiphon.js').Client} client
 */
export async function banner(place, client) {
  const { providers } = await client.server.json('/api/providers').catch(() => ({ providers: [] }));
  const real = providers.filter((each) => !each.simulated && each.configured);
  if (providers.length === 0 || real.length > 0) return;
  place.replaceChildren(
    h('strong', {}, 'Simulated. '),
    'No model is connected, so the built-in simulated provider writes what you see. Set ',
    h('code', {}, 'OPENAI_API_KEY'),
    ' (or another provider’s key) and start again for the real thing.',
  );
  place.hidden = false;
}

/** The providers' names for a <select>, the simulated one last. */
export async function providerNames(client) {
  const { providers } = await client.server.json('/api/providers').catch(() => ({ providers: [] }));
  return providers.sort((a, b) => Number(a.simulated) - Number(b.simulated));
}
