/**
 * Markdown to nodes. What comes from a model goes through the sanitiser, always: this is the only
 * module that turns text into HTML.
 *
 * Pictures are left out, for an address in a picture can carry a conversation away as soon as it is
 * shown. A link has to be pressed, opens elsewhere and tells nobody where it was.
 * @module
 */

import createDOMPurify from '../vendor/dompurify.js';
import { marked } from '../vendor/marked.js';

const TAGS = (
  'a abbr b blockquote br caption code dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i ins kbd ' +
  'li mark ol p pre q s samp small span strong sub summary sup table tbody td tfoot th thead tr u ul'
).split(' ');

const purify = createDOMPurify(window);

purify.addHook('afterSanitizeAttributes', (node) => {
  if (node.tagName === 'A') {
    node.setAttribute('target', '_blank');
    node.setAttribute('rel', 'noopener noreferrer nofollow ugc');
  }
});

/**
 * Give the nodes of a piece of Markdown.
 * @param {string} text
 * @returns {DocumentFragment}
 */
export function markdown(text) {
  const html = marked.parse(text, { async: false, gfm: true, breaks: true });
  return purify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ['href', 'title', 'start', 'colspan', 'rowspan', 'align', 'open'],
    ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
    RETURN_DOM_FRAGMENT: true,
  });
}
