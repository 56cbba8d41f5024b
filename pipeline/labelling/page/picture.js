// The picture, enlarged: whole pixels of a small one, the file as it is of a large one, and a frame around one digit.

const SVG = "http://www.w3.org/2000/svg";
/** Pixels of the longer side below which pixels are shown as squares. */
const COARSE = 160;
/** Of the height of the window that a picture takes at most, and CSS pixels that it takes in any case. */
const SHARE = 0.6;
const LEAST = 260;

export class Picture {
  /**
   * @param {Record<string, any>} parts by their names: frame, picture, box, copied, copy
   * @param {(loaded: boolean) => void} settled called once the picture is seen, or cannot be
   */
  constructor(parts, settled) {
    this.parts = parts;
    this.size = [1, 1];
    parts.picture.addEventListener("load", () => settled(true));
    parts.picture.addEventListener("error", () => settled(false));
    addEventListener("resize", () => this.#fit());
  }

  /** Show the picture of an item. */
  show({ number, size, box }) {
    const { picture, copied, copy } = this.parts;
    const coarse = Math.max(...size) < COARSE;
    this.size = size;
    picture.classList.toggle("coarse", coarse);
    // Large squares are hard to read from near by.
    copied.hidden = !coarse;
    if (coarse) copy.src = `pictures/${number}`;
    picture.alt = "The picture to be labelled";
    picture.src = `pictures/${number}`;
    this.#mark(box);
    this.#fit();
  }

  clear() {
    this.parts.picture.removeAttribute("src");
    this.parts.picture.alt = "";
    this.parts.copied.hidden = true;
    this.#mark(null);
  }

  #fit() {
    const [height, width] = this.size;
    const { frame } = this.parts;
    const most = Math.max(LEAST, SHARE * innerHeight);
    frame.style.aspectRatio = `${width} / ${height}`;
    frame.style.width = `min(100%, ${Math.round((most * width) / height)}px)`;
  }

  #mark(box) {
    const [height, width] = this.size;
    const svg = this.parts.box;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.replaceChildren();
    if (!box) return;
    const [x0, y0, x1, y1] = box;
    // A little outside: the frame covers nothing of the digit.
    const pad = 0.02 * Math.max(width, height);
    for (const name of ["under", ""]) {
      const rect = document.createElementNS(SVG, "rect");
      const values = { class: name, x: x0 - pad, y: y0 - pad, width: x1 - x0 + 2 * pad, height: y1 - y0 + 2 * pad };
      for (const [key, value] of Object.entries(values)) rect.setAttribute(key, value);
      svg.append(rect);
    }
  }
}
