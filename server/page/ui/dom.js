/**
 * Making elements. Text is always set as text: nothing here reads HTML.
 * @module
 */

/**
 * Make an element.
 * @param {string} tag
 * @param {Record<string, any>} [props] properties; `class`, `data-…`, `aria-…`, `role` and `for` as
 *   attributes, `on…` as listeners; undefined and null are left out
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {HTMLElement}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes('-')) element[name] = value;
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.filter((child) => child || child === ''));
  return element;
}

/** A button; `kind` is a class. */
export function button(label, onclick, kind = '', props = {}) {
  return h('button', { type: 'button', class: kind, onclick, ...props }, label);
}

let count = 0;

/** A labelled control. */
export function field(label, control, { hint, wide } = {}) {
  control.id ||= `field-${(count += 1)}`;
  const note = hint && h('small', { id: `${control.id}-hint` }, hint);
  if (note) control.setAttribute('aria-describedby', note.id);
  const isBox = control.type === 'checkbox';
  const name = h('label', { for: control.id }, label);
  const kind = `field${isBox ? ' box' : ''}${wide ? ' wide' : ''}`;
  return h('div', { class: kind }, ...(isBox ? [control, name] : [name, control]), note);
}

/** Options of a <select>: texts, or [value, text]. */
export function options(choices, chosen) {
  return choices.map((choice) => {
    const [value, text] = Array.isArray(choice) ? choice : [choice, choice];
    return h('option', { value, selected: value === chosen }, text);
  });
}

/** Copies text, and says so on the button itself, which screen readers follow. */
export function copyButton(text, label = 'Copy', about = '') {
  const copy = button(label, async () => {
    let said = 'Copied';
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      said = 'Could not copy';
    }
    copy.textContent = said;
    setTimeout(() => (copy.textContent = label), 1500);
  }, 'small', about ? { 'aria-label': `${label} ${about}` } : {});
  copy.setAttribute('aria-live', 'polite');
  return copy;
}

/** Saves text as a file. */
export function downloadButton(text, name, label = 'Download', about = '') {
  return button(label, () => {
    const url = URL.createObjectURL(new Blob([text()], { type: 'text/plain;charset=utf-8' }));
    h('a', { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }, 'small', about ? { 'aria-label': `${label} ${about}` } : {});
}

/** Seconds and milliseconds for people. */
export function seconds(s) {
  return s < 1 ? `${Math.round(s * 1000)} ms` : `${s.toFixed(s < 10 ? 1 : 0)} s`;
}
