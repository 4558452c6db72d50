/** The look that all charts share. It knows nothing of their data. */

/** Size of a picture, in pixels of the SVG. */
export const WIDTH = 800;
export const HEIGHT = 460;

/**
 * Room around the plot for axes, heading, and labels at the right of lines, in pixels. It is fixed,
 * as are the places of titles below, because Vega measures text only roughly outside of a browser.
 */
export const ROOM = { left: 68, top: 78, right: 170, bottom: 56 };
/** Where the title of a vertical axis stands, in pixels from the plot. */
export const TITLE_X = -46;

/** Colours of Okabe and Ito, which colour-blind people can tell apart. */
export const COLOURS = { decay: '#0072B2', constant: '#000000', swa: '#D55E00', other: '#007A59' };

export const FONT = 'DejaVu Sans, Verdana, sans-serif';

/** Vega's and Vega-Lite's `config`. */
export const CONFIG = {
  background: 'white',
  font: FONT,
  axis: {
    labelFont: FONT,
    titleFont: FONT,
    labelFontSize: 13,
    titleFontSize: 14,
    titleFontWeight: 'normal',
    gridColor: '#e4e4e4',
    labelFlush: false,
  },
  legend: {
    labelFont: FONT,
    titleFont: FONT,
    labelFontSize: 13,
    titleFontSize: 14,
    titleFontWeight: 'normal',
  },
  text: { font: FONT },
} as const;

/** A line of a heading, placed from the plot's upper left corner. */
export interface HeadingLine {
  text: string;
  x: number;
  y: number;
  fontSize: number;
  fontWeight: 'bold' | 'normal';
  color: string;
}

/** A title and lines below it, above the plot. */
export function heading(title: string, lines: readonly string[]): HeadingLine[] {
  const x = 16 - ROOM.left;
  const top = -30 - 18 * lines.length;
  return [
    { text: title, x, y: top, fontSize: 18, fontWeight: 'bold', color: 'black' },
    ...lines.map((text, i): HeadingLine => ({
      text,
      x,
      y: top + 22 + 18 * i,
      fontSize: 13,
      fontWeight: 'normal',
      color: '#444',
    })),
  ];
}

/** The name of a line, to the right of its end. */
export const LINE_LABEL = {
  type: 'text',
  align: 'left',
  baseline: 'middle',
  dx: 10,
  fontSize: 14,
  clip: false,
} as const;
