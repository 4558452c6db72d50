/**
 * A picture that fits the width it is given, with its content in words and as a table. It knows
 * nothing of what it shows.
 */
import { html, svg } from './dom.js';

/** What a picture says to those who do not see it. */
export interface Alternative {
  /** A sentence or two. */
  summary: string;
  columns: readonly string[];
  rows: readonly (readonly (string | number)[])[];
}

/** Draws into some width, in pixels. */
export type Draw = (width: number) => { height: number; content: Node[] };

/** A figure of the page. */
export interface Figure {
  element: HTMLElement;
  picture: SVGSVGElement;
  title: string;
  show(draw: Draw, alternative: Alternative): void;
}

/** An empty figure. */
export function makeFigure(title: string): Figure {
  const picture = svg('svg', { role: 'img', class: 'picture' });
  const table = html('table');
  const scroller = html(
    'div',
    { class: 'scroller', tabindex: 0, role: 'region', 'aria-label': `Table: ${title}` },
    table,
  );
  const details = html('details', {}, html('summary', {}, 'As a table'), scroller);
  const element = html(
    'figure',
    {},
    html('figcaption', {}, html('h3', {}, title)),
    picture,
    details,
  );
  let drawn: Draw = () => ({ height: 0, content: [] });
  let shown: Alternative = { summary: '', columns: [], rows: [] };
  const fillTable = () => {
    if (!details.open) return;
    const head = html('tr', {}, ...shown.columns.map((text) => html('th', { scope: 'col' }, text)));
    const body = shown.rows.map((row) =>
      html('tr', {}, ...row.map((cell) => html('td', {}, String(cell)))),
    );
    table.replaceChildren(html('thead', {}, head), html('tbody', {}, ...body));
  };
  details.addEventListener('toggle', fillTable);
  let width = 0;
  const redraw = () => {
    if (width < 200) return; // not laid out
    const { height, content } = drawn(width);
    picture.setAttribute('viewBox', `0 0 ${width} ${height}`);
    picture.setAttribute('height', String(height));
    picture.replaceChildren(...content);
  };
  new ResizeObserver(([entry]) => {
    const now = Math.floor(entry!.contentRect.width);
    if (now === width) return;
    width = now;
    redraw();
  }).observe(element);
  return {
    element,
    picture,
    title,
    show(draw, alternative) {
      drawn = draw;
      shown = alternative;
      redraw();
      picture.setAttribute('aria-label', `${title}. ${alternative.summary}`);
      fillTable();
    },
  };
}
