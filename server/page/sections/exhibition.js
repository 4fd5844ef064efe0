/**
 * Exhibition: a curator's brief becomes a proposal; what is found appears at once (contract 5).
 * @module
 */

import { user } from '../ui/account.js';
import { providerNames } from '../ui/banner.js';
import { button, field, h, options } from '../ui/dom.js';
import { Runner, keepForm, remembered } from '../ui/runner.js';
import { Steps } from '../ui/steps.js';
import { TextView } from '../ui/text.js';

const STAGES = [
  ['validation', 'Brief'],
  ['theme_refinement', 'Theme'],
  ['artist_discovery', 'Artists'],
  ['artwork_discovery', 'Artworks'],
  ['proposal_generation', 'Proposal'],
];
const FIELDS = [
  ['exhibition_title', 'Title'],
  ['subtitle', 'Subtitle'],
  ['curatorial_statement', 'Curatorial statement'],
  ['scholarly_rationale', 'Rationale'],
];
const SOURCES = ['catalogue', 'wikidata', 'wikipedia', 'artic', 'met', 'europeana'];

/**
 * @param {HTMLElement} place
 * @param {import('../antiphon.js').Client} client
 */
export async function open(place, client) {
  const section = new Exhibition(client, await providerNames(client));
  place.append(...section.elements);
  const sessionId = remembered('exhibition');
  if (sessionId) void section.run({ sessionId });
}

class Exhibition {
  constructor(client, providers) {
    this.client = client;
    this.runner = new Runner('exhibition', { start: 'Curate' });
    this.steps = new Steps('Stages', STAGES);
    this.results = h('div', { class: 'results' });
    this.choice = h('div', { class: 'choice', 'aria-live': 'polite' });
    this.proposal = h('div', { class: 'row proposal' });
    this.form = this._form(providers);
    keepForm(this.form, 'exhibition');
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.run({ request: this._request() });
    });
    this.elements = [
      h('h1', { id: 'title-exhibition' }, 'A brief becomes an exhibition'),
      h('p', { class: 'lead' },
        'Theme, artists and artworks appear as they are found, each with its source. Nothing is made up.'),
      this.form,
      this.runner.element,
      this.steps.element,
      this.proposal,
      this.choice,
      this.results,
    ];
  }

  _form(providers) {
    const input = (name, value, more = {}) => h('input', { name, value, ...more });
    const number = (name, value, more = {}) => h('input', { name, type: 'number', value, ...more });
    const share = (name, value) => number(name, value, { min: 0, max: 1, step: 0.05 });
    const names = providers.map(({ name }) => name);
    return h('form', { class: 'fields' },
      field('Title of the theme', input('theme_title', 'Dreams Unchained', { required: true, minLength: 5, maxLength: 200 }), { wide: true }),
      field('What it is about', h('textarea', {
        name: 'theme_description', rows: 3, required: true, minLength: 50, maxLength: 2000,
        value: 'How the surrealists painted dreams and the unconscious, and what their images of desire, fear and chance still say to us today.',
      }), { wide: true }),
      field('Concepts', input('theme_concepts', 'surrealism, dreams, the unconscious', { required: true }), { wide: true, hint: 'up to 10, with commas' }),
      field('Artists', number('max_artists', 6, { min: 1, max: 50 })),
      field('Artworks', number('max_artworks', 12, { min: 1, max: 200 })),
      field('I choose', h('input', { name: 'choose', type: 'checkbox' }), { hint: 'it waits for you after artists and artworks' }),
      h('details', { class: 'more wide' },
        h('summary', {}, 'More'),
        h('div', { class: 'fields' },
          field('Reference artists', input('reference_artists', 'Salvador Dalí, René Magritte'), { wide: true }),
          field('Without', input('exclude_artists', ''), { wide: true }),
          field('Audience', h('select', { name: 'target_audience' }, ...options(
            ['general', 'academic', 'youth', 'family', 'specialists'], 'general'))),
          field('Narrative', h('select', { name: 'narrative_style' }, ...options(
            ['thematic', 'chronological', 'dialogic', 'immersive'], 'thematic'))),
          field('Space', h('select', { name: 'space_type' }, ...options(
            ['main', 'project', 'outdoor', 'digital'], 'main'))),
          field('Weeks', number('duration_weeks', 12, { min: 2, max: 52 })),
          field('Opens', input('opens', '', { type: 'date' })),
          field('Closes', input('closes', '', { type: 'date' })),
          field('Budget at most', number('budget_max', '', { min: 1 })),
          field('Insurance at most', number('insurance_max', '', { min: 1 })),
          field('From the year', number('start_year', '')),
          field('To the year', number('end_year', '')),
          field('Movements', input('movements', ''), { wide: true, hint: 'with commas' }),
          field('Media', input('media', ''), { wide: true, hint: 'with commas' }),
          field('Artists from anywhere', h('input', { name: 'include_international', type: 'checkbox', checked: true })),
          field('Diversity counts', h('input', { name: 'prioritize_diversity', type: 'checkbox', checked: true })),
          field('Artworks an artist', number('artworks_per_artist', 5, { min: 1, max: 50 })),
          field('Least relevance of artists', share('min_artist_relevance', 0.5)),
          field('Least relevance of artworks', share('min_artwork_relevance', 0.4)),
          field('Provider', h('select', { name: 'provider' }, ...options([['', 'the default'], ...names], ''))),
          field('Model', input('model', '', { placeholder: 'the default' })),
          h('fieldset', { class: 'wide' }, h('legend', {}, 'Sources'), ...SOURCES.map((name) =>
            field(name, h('input', { type: 'checkbox', name: `source:${name}`, checked: true })))),
        )),
      this.runner.buttons,
    );
  }

  _request() {
    const of = (name) => this.form.elements[name];
    const list = (name) => of(name).value.split(',').map((each) => each.trim()).filter(Boolean);
    const numberOf = (name) => (of(name).value === '' ? undefined : of(name).valueAsNumber);
    const textOf = (name) => of(name).value.trim() || undefined;
    const [start, end] = [textOf('opens'), textOf('closes')];
    const years = { start_year: numberOf('start_year'), end_year: numberOf('end_year') };
    return { // what is undefined is not sent
      curator_brief: {
        theme_title: of('theme_title').value,
        theme_description: of('theme_description').value,
        theme_concepts: list('theme_concepts'),
        reference_artists: list('reference_artists'),
        exclude_artists: list('exclude_artists'),
        target_audience: of('target_audience').value,
        narrative_style: of('narrative_style').value,
        space_type: of('space_type').value,
        exhibition_dates: start || end ? { start, end } : undefined,
        duration_weeks: of('duration_weeks').valueAsNumber,
        budget_max: numberOf('budget_max'),
        insurance_max: numberOf('insurance_max'),
        include_international: of('include_international').checked,
        prioritize_diversity: of('prioritize_diversity').checked,
        time_period: Object.values(years).some((year) => year !== undefined) ? years : undefined,
        movements: list('movements'),
        media: list('media'),
      },
      config: {
        max_artists: of('max_artists').valueAsNumber,
        max_artworks: of('max_artworks').valueAsNumber,
        artworks_per_artist: numberOf('artworks_per_artist'),
        min_artist_relevance: numberOf('min_artist_relevance'),
        min_artwork_relevance: numberOf('min_artwork_relevance'),
        auto_select: !of('choose').checked,
        provider: textOf('provider'),
        model: textOf('model'),
        sources: SOURCES.filter((name) => of(`source:${name}`).checked),
      },
    };
  }

  async run({ request, sessionId }) {
    this._clear();
    const handlers = {
      onProgress: ({ stage, progress, message }) => {
        this.steps.reach(stage);
        this.runner.progress(progress);
        this.runner.say(message);
      },
      onText: (part, added) => this._theme(part.target.field, part.text, added),
      onItem: ({ stage, data }) => this._found(stage, data),
      onStageComplete: (stage, data) => this._stage(stage, data),
      onSelectionRequired: (choice) => this._choose(choice),
      onMessage: (message) => {
        if (message.type === 'selected') this.choice.replaceChildren();
      },
    };
    const proposal = await this.runner.run(
      (all, how) => this.client.exhibit(request, all, how),
      { sessionId, handlers },
    );
    this.choice.replaceChildren();
    for (const { view } of this.texts.values()) view.finish();
    if (!proposal) {
      this.steps.end(this.runner.element.dataset.state);
      return this._links('What there is of the proposal');
    }
    for (const [stage] of STAGES) this.steps.set(stage, 'completed');
    const { metrics = {}, quality_score: quality } = proposal;
    this.runner.say(`Done: ${metrics.artists} artists, ${metrics.artworks} artworks, ` +
      `${metrics.with_image} with a picture; quality ${Math.round(100 * quality)} %.`, true);
    this._links('The proposal');
  }

  _clear() {
    this.texts = new Map();
    this.grids = new Map();
    this.results.replaceChildren();
    this.choice.replaceChildren();
    this.proposal.replaceChildren();
    this.steps.clear();
  }

  /**
   * Where there is a token, the proposal is fetched with it and shown as a file of this page's: a
   * token must not be in an address. The page's own policy holds in there, and names its style.
   */
  _links(label) {
    const id = this.runner.sessionId;
    if (!id) return;
    const path = `/api/proposals/${encodeURIComponent(id)}`;
    const fetched = async (accept) => {
      const response = await this.client.server.fetch(path, { headers: { Accept: accept } });
      return URL.createObjectURL(await response.blob());
    };
    this.proposal.replaceChildren(
      button(`${label}: print`, async () => {
        if (!user.isRequired) return void window.open(path, '_blank', 'noopener');
        const shown = window.open('', '_blank'); // at once: later it would be a pop-up
        if (!shown) return void this.runner.say('The browser did not let a new window open.');
        try {
          shown.location = await fetched('text/html');
        } catch (error) {
          shown.close();
          this.runner.say(error.message);
        }
      }),
      button('Export as JSON', async () => {
        try {
          const url = await fetched('application/json');
          h('a', { href: url, download: `proposal-${id}.json` }).click();
          setTimeout(() => URL.revokeObjectURL(url), 1000);
        } catch (error) {
          this.runner.say(error.message);
        }
      }),
    );
  }

  // ---- the theme ---------------------------------------------------------------------------------

  _theme(name, text, added) {
    if (name === undefined) return;
    let entry = this.texts.get(name);
    if (!entry) {
      const label = FIELDS.find(([id]) => id === name)?.[1] ?? name.replaceAll('_', ' ');
      const view = new TextView({ label });
      view.element.classList.add('whole');
      entry = { view, text: '' };
      this.texts.set(name, entry);
      this._section('theme', 'Theme', 'theme').append(
        h('div', { class: `theme-${name}` }, h('h3', {}, label), view.element));
    }
    entry.text = text;
    entry.view.update(text, added);
  }

  _section(id, title, kind = 'cards small-cards') {
    let grid = this.grids.get(id);
    if (!grid) {
      grid = h('div', { class: kind });
      grid.count = h('small', {});
      this.grids.set(id, grid);
      this.results.append(
        h('section', { class: 'phase' }, h('h2', {}, title, ' ', grid.count), grid));
    }
    return grid;
  }

  // ---- artists and artworks ----------------------------------------------------------------------

  _found(stage, item) {
    const isArtist = stage === 'artist_discovery';
    const grid = this._section(stage, isArtist ? 'Artists' : 'Artworks');
    grid.append(isArtist ? artistCard(item) : artworkCard(item));
    grid.count.textContent = `${grid.childElementCount} found`;
  }

  _stage(stage, data) {
    this.steps.set(stage, 'completed');
    if (stage === 'theme_refinement') {
      for (const [name] of FIELDS) {
        if (data[name] && this.texts.get(name)?.text !== data[name]) this._theme(name, data[name], null);
      }
      for (const { view } of this.texts.values()) view.finish();
      return;
    }
    const list = data.artists ?? data.artworks;
    if (!list) return;
    const grid = this._section(stage, data.artists ? 'Artists' : 'Artworks');
    grid.replaceChildren(...list.map(data.artists ? artistCard : artworkCard));
    grid.count.textContent = `${list.length}`;
  }

  /** Let a person choose by clicking; the best half is ticked to begin with. */
  _choose({ stage, candidates, expires_at: expires }) {
    const isArtist = stage === 'artist_discovery';
    const what = isArtist ? 'artists' : 'artworks';
    const chosen = new Set();
    const cards = candidates.map((candidate, index) => {
      const card = isArtist ? artistCard(candidate) : artworkCard(candidate);
      const toggle = h('button', {
        type: 'button', class: 'pick', 'aria-pressed': 'false',
        'aria-label': `Choose ${candidate.name ?? candidate.title}`,
        onclick: () => {
          chosen.has(index) ? chosen.delete(index) : chosen.add(index);
          toggle.setAttribute('aria-pressed', String(chosen.has(index)));
          card.classList.toggle('selected', chosen.has(index));
          send.disabled = chosen.size === 0;
          send.textContent = `Go on with ${chosen.size} ${what}`;
        },
      });
      card.append(toggle);
      return card;
    });
    const send = button(`Go on with 0 ${what}`, async () => {
      send.disabled = true;
      try {
        await this.client.select(this.runner.sessionId, stage, [...chosen].sort((a, b) => a - b));
        this.choice.replaceChildren();
      } catch (error) {
        this.runner.say(error.message);
        send.disabled = false;
      }
    }, 'primary', { disabled: true });
    const until = new Date(expires).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
    this.runner.say(`Your choice of ${what} is needed.`);
    this.choice.replaceChildren(
      h('section', { class: 'card chosen', 'aria-label': `Choose ${what}` },
        h('header', {}, h('h2', { tabindex: -1 }, `Choose ${what}`),
          h('small', {}, `until ${until}; then the best are taken`)),
        h('div', { class: 'cards small-cards' }, ...cards),
        h('footer', { class: 'row' }, send)));
    this.choice.querySelector('h2').focus();
  }
}

function artistCard(artist) {
  const years = [artist.birth_year, artist.death_year].some(Boolean)
    ? `${artist.birth_year ?? '?'} – ${artist.death_year ?? ''}` : '';
  return h('article', { class: 'card found', 'aria-label': artist.name },
    h('h3', {}, artist.name),
    h('p', { class: 'meta' }, [years, ...(artist.movements ?? [])].filter(Boolean).join(' · ')),
    h('p', {}, artist.reasoning ?? artist.relevance_reasoning ?? ''),
    scoreOf(artist));
}

function artworkCard(work) {
  const size = work.width_cm && work.height_cm ? `${work.height_cm} × ${work.width_cm} cm` : '';
  const link = /^https?:/.test(work.uri ?? '')
    ? h('a', { href: work.uri, target: '_blank', rel: 'noopener noreferrer' }, work.title) : work.title;
  return h('article', { class: 'card found', 'aria-label': work.title },
    work.thumbnail_url && picture(work),
    h('h3', {}, link),
    h('p', { class: 'meta' },
      [work.artist_name, work.date_created, work.medium, size].filter(Boolean).join(' · ')),
    h('p', { class: 'meta' }, work.institution_name ?? ''),
    scoreOf(work));
}

function picture(work) {
  const image = h('img', {
    src: work.thumbnail_url, alt: `${work.title} by ${work.artist_name}`, loading: 'lazy',
    decoding: 'async', referrerPolicy: 'no-referrer',
  });
  image.addEventListener('error', () => image.remove());
  return image;
}

function scoreOf({ score, relevance_score: relevance }) {
  const value = score ?? relevance;
  if (typeof value !== 'number') return null;
  return h('p', { class: 'meta' }, `relevance ${Math.round(100 * value)} %`);
}
