/** Makes one PNG of the pictures of a page. It knows nothing of what they show. */
import { svg } from './dom.js';
import type { Figure } from './figure.js';

/** What the style sheet gives to elements of SVG; a picture on its own has no style sheet. */
const STYLES = [
  'fill',
  'stroke',
  'stroke-width',
  'stroke-dasharray',
  'stroke-linejoin',
  'paint-order',
  'opacity',
  'font-family',
  'font-size',
  'font-weight',
] as const;

const GAP = 24;
/** Pixels of the PNG for one of the page. */
const SCALE = 2;

/** The pictures below each other, each under its title, on the page's background. */
export async function pngOf(figures: readonly Figure[]): Promise<Blob> {
  const sizes = figures.map(({ picture }) => picture.viewBox.baseVal);
  const width = Math.max(...sizes.map((size) => size.width)) + 2 * GAP;
  let y = GAP;
  const parts = figures.flatMap(({ title, picture }, i) => {
    const heading = svg('text', { x: GAP, y: y + 14 }, title);
    const { color, fontFamily } = getComputedStyle(document.body);
    heading.style.cssText = `font: bold 16px ${fontFamily}; fill: ${color}`;
    const copy = styledCopy(picture);
    copy.setAttribute('x', String(GAP));
    copy.setAttribute('y', String(y + 30));
    copy.setAttribute('width', String(sizes[i]!.width));
    y += 30 + sizes[i]!.height + GAP;
    return [heading, copy];
  });
  const whole = svg('svg', { width, height: y, viewBox: `0 0 ${width} ${y}` }, ...parts);
  const image = new Image();
  const text = new XMLSerializer().serializeToString(whole);
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = document.createElement('canvas');
  canvas.width = width * SCALE;
  canvas.height = y * SCALE;
  const context = canvas.getContext('2d')!;
  context.fillStyle = getComputedStyle(document.body).backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => {
      if (blob) resolve(blob);
      else reject(new Error('This browser makes no PNG'));
    }, 'image/png');
  });
}

function styledCopy(picture: SVGSVGElement): SVGSVGElement {
  const copy = picture.cloneNode(true) as SVGSVGElement;
  const originals = picture.querySelectorAll<SVGElement>('*');
  copy.querySelectorAll<SVGElement>('*').forEach((element, i) => {
    const style = getComputedStyle(originals[i]!);
    for (const name of STYLES) element.style.setProperty(name, style.getPropertyValue(name));
  });
  return copy;
}
