// Inside the textbook net: the feature maps of each layer.

import { element, pixelCanvas } from "./parts.js";

const KINDS = { convolution: "Convolution", max_pooling: "Max pooling", average_pooling: "Average pooling" };

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
      const canvases = maps.map((data) => brightened(pixelCanvas({ height, width, channels: 1, data })));
      return section(name, text, element("div", { class: "maps", role: "img", "aria-label": `${name}: ${maps.length} feature maps` }, ...canvases));
    }),
  ];
}

/** The canvas with its dark values lifted, so that weak answers are seen too. */
function brightened(canvas) {
  const context = canvas.getContext("2d");
  const image = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < image.data.length; at += 1) {
    if (at % 4 < 3) image.data[at] = 255 * (image.data[at] / 255) ** 0.6;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

function section(name, text, maps) {
  return element("div", { class: "layer" }, element("h3", {}, name), element("p", { class: "small" }, text), maps);
}
