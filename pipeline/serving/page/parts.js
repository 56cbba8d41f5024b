// Small parts of the page. Text from the service is set as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element.
 * @param {string} name
 * @param {Record<string, string>} attributes
 * @param {(Node | string)[]} children
 */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A share from 0 to 1 as a bar that fills its parent, with a mark at the share that is needed. */
export function bar(have, need = null) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 6");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  fillBar(svg, have, need);
  return svg;
}

/** The same in an SVG that is there. */
export function fillBar(svg, have, need = null) {
  const rects = [{ class: "have", x: 0, width: 100 * have }];
  if (need !== null) rects.push({ class: "need", x: Math.min(99.2, 100 * need), width: 0.8 });
  svg.replaceChildren(...rects.map((values) => {
    const rect = document.createElementNS(SVG, "rect");
    for (const [key, value] of Object.entries({ y: 0, height: 6, ...values })) rect.setAttribute(key, value);
    return rect;
  }));
}

/** Pixels of an answer on a canvas, to the power of an exponent. */
export function pixelCanvas({ height, width, channels, data }, exponent = 1) {
  const canvas = element("canvas", { width, height });
  const values = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let at = 0; at < width * height; at += 1) {
    for (let channel = 0; channel < 3; channel += 1) {
      const value = values[at * channels + (channels === 1 ? 0 : channel)];
      image.data[4 * at + channel] = 255 * (value / 255) ** exponent;
    }
    image.data[4 * at + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** A share as a percentage; never 100 %. */
export function percent(share) {
  if (share > 0.999) return "> 99.9 %";
  return `${(Math.floor(share * 1000) / 10).toFixed(1)} %`;
}

/** What was read, as one string: digits, or the name of a class. */
export function readingOf(answer) {
  return answer.class ?? answer.digits;
}

/** The slots of an answer that hold something, in the order in which they are read. */
export function slotsOf(answer) {
  return answer.lines.flatMap((line) => line.slots);
}

/** The boxes of an answer: its digits, or its lines where the model does not localise. */
export function boxesOf(answer) {
  const digits = answer.lines.flatMap((line) => line.slots).filter((slot) => slot.box);
  const lines = answer.slots ? [] : answer.lines.map((line) => ({ box: line.box, line: true }));
  return [...lines, ...digits.map((slot) => ({ box: slot.box }))];
}
