// Inside the textbook net: the feature maps of each layer.

import { element, pixelCanvas } from "./parts.js";

const KINDS = { convolution: "Convolution", max_pooling: "Max pooling", average_pooling: "Average pooling" };

/** Exponent that lifts dark values, so that weak answers are seen too. */
const LIFTED = 0.6;

/** The layers of an answer of `/features`, as sections. */
export function layersOf({ input, layers }) {
  const counts = {};
  const first = element("div", { class: "maps", "aria-hidden": "true" }, pixelCanvas(input));
  return [
    section("Your digit", `${input.width} × ${input.height} pixels, light ink on dark, centred like the digits that it learned from.`, first),
    ...layers.map(({ kind, kernel, channels, height, width, maps }) => {
      counts[kind] = (counts[kind] ?? 0) + 1;
      const name = `${KINDS[kind]} ${counts[kind]}`;
      const window = `${kernel[0]} × ${kernel[1]}`;
      const text =
        kind === "convolution"
          ? `${channels} maps of ${width} × ${height}. Each looks for one pattern of its own in every window of ${window}.`
          : `${channels} maps of ${width} × ${height}. Each pixel keeps the strongest of a window of ${window}: smaller, and less fussy about place.`;
      const canvases = maps.map((data) => pixelCanvas({ height, width, channels: 1, data }, LIFTED));
      return section(name, text, element("div", { class: "maps", role: "img", "aria-label": `${name}: ${maps.length} feature maps` }, ...canvases));
    }),
  ];
}

function section(name, text, maps) {
  return element("div", { class: "layer" }, element("h3", {}, name), element("p", { class: "small" }, text), maps);
}
