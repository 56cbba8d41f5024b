// The picture: drawn with mouse, finger or pen, or opened from a file; and what is drawn over it.

const SVG = "http://www.w3.org/2000/svg";
const INK = "#1b1b1b";
const PAPER = "#ffffff";
/** A file of more pixels is scaled down before it is sent; the service decodes at most 4096 × 4096. */
const MOST_PIXELS = 16_000_000;
const SENT_PIXELS = 6_000_000;
/** Side of a picture below which its pixels are shown as squares. */
const COARSE = 200;
/** Longest side of an opened picture on the screen, in canvas pixels. */
const SHOWN = 1600;

export class Board {
  #context;
  #strokes = [];
  #stroke = null;
  #pen = 16;
  #drawable = true;
  #shape = [1, 1];
  #slots = 0;

  /**
   * @param {{board: HTMLElement, canvas: HTMLCanvasElement, overlay: SVGSVGElement, prompt: HTMLElement}} parts
   * @param {(finished: boolean) => void} changed called when the picture changed; `finished` when the pen is up
   */
  constructor(parts, changed) {
    this.parts = parts;
    this.changed = changed;
    this.#context = parts.canvas.getContext("2d", { willReadFrequently: true });
    /** @type {Blob | null} the file that was opened */
    this.file = null;
    /** Notes of the page on the file. */
    this.notes = [];
    const { canvas } = parts;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.#up(event));
  }

  /** Empty paper of a mode. */
  open(mode, narrow) {
    this.#shape = mode.size(narrow);
    this.#pen = mode.pen ?? 0;
    this.#drawable = mode.pen !== undefined;
    this.#slots = mode.slots ?? 0;
    this.parts.board.classList.toggle("square", Boolean(mode.square));
    this.parts.canvas.classList.toggle("still", !this.#drawable);
    this.parts.prompt.textContent = mode.prompt;
    this.clear();
  }

  get empty() {
    return !this.file && !this.#strokes.length;
  }

  get drawn() {
    return this.#strokes.length > 0;
  }

  /** Width and height of the picture that is sent. */
  get size() {
    return this.#sent;
  }

  #sent = [1, 1];

  clear() {
    this.file = null;
    this.notes = [];
    this.#strokes = [];
    this.#stroke = null;
    this.#paint();
  }

  undo() {
    this.#strokes.pop();
    this.#paint();
    this.changed(true);
  }

  /**
   * Show a file and send it as it is.
   * @param {Blob} file
   * @returns {Promise<void>} rejected where the browser cannot show it
   */
  async load(file) {
    const bitmap = await createImageBitmap(file);
    this.#strokes = [];
    this.file = file;
    this.notes = [];
    if (bitmap.width * bitmap.height > MOST_PIXELS) {
      this.file = await shrunk(bitmap, Math.sqrt(SENT_PIXELS / (bitmap.width * bitmap.height)));
      this.notes = ["scaled_by_page"];
      const sent = await createImageBitmap(this.file);
      this.#sent = [sent.width, sent.height];
      sent.close();
    } else {
      this.#sent = [bitmap.width, bitmap.height];
    }
    const { canvas } = this.parts;
    const scale = Math.min(1, SHOWN / Math.max(bitmap.width, bitmap.height));
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    this.#context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    canvas.classList.toggle("coarse", Math.min(canvas.width, canvas.height) < COARSE);
    this.parts.board.classList.toggle("dark-picture", isDark(this.#context, canvas));
    this.#describe("Opened picture");
    this.parts.prompt.hidden = true;
    this.mark([]);
    this.changed(true);
  }

  /** Show a file that the browser itself cannot show: the service says why. */
  loadUnseen(file) {
    this.clear();
    this.file = file;
    this.parts.prompt.textContent = "No preview";
    this.#describe("Opened file without a preview");
    this.changed(true);
  }

  /** @returns {Promise<Blob>} what is sent: the file as it is, or the drawing as a PNG */
  picture() {
    if (this.file) return Promise.resolve(this.file);
    return new Promise((resolve, reject) => {
      this.parts.canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no picture"))), "image/png");
    });
  }

  /**
   * Draw boxes over the picture.
   * @param {{box: number[], line?: boolean}[]} boxes in pixels of the picture that was sent
   */
  mark(boxes) {
    const { overlay } = this.parts;
    const [width, height] = this.#sent;
    overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
    overlay.replaceChildren(...this.#guides(), ...boxes.map(({ box: [x0, y0, x1, y1], line }) => {
      const rect = document.createElementNS(SVG, "rect");
      const values = { x: x0, y: y0, width: Math.max(0, x1 - x0), height: Math.max(0, y1 - y0), rx: height / 100 };
      for (const [name, value] of Object.entries(values)) rect.setAttribute(name, value);
      if (line) rect.setAttribute("class", "line");
      return rect;
    }));
  }

  #guides() {
    if (!this.#slots || this.file) return [];
    const [width, height] = this.#shape;
    const path = document.createElementNS(SVG, "path");
    const lines = [];
    for (let slot = 1; slot < this.#slots; slot += 1) lines.push(`M${(width * slot) / this.#slots} 0V${height}`);
    path.setAttribute("d", lines.join(""));
    return [path];
  }

  #paint() {
    const { canvas, prompt } = this.parts;
    [canvas.width, canvas.height] = this.#shape;
    this.#sent = this.#shape;
    canvas.classList.remove("coarse");
    this.parts.board.classList.remove("dark-picture");
    this.#context.fillStyle = PAPER;
    this.#context.fillRect(0, 0, canvas.width, canvas.height);
    for (const stroke of this.#strokes) this.#line(stroke, 0);
    prompt.hidden = this.#strokes.length > 0;
    this.#describe(this.#strokes.length ? `Drawing of ${this.#strokes.length} strokes` : "Drawing area, empty");
    this.mark([]);
  }

  #line(points, from) {
    const context = this.#context;
    context.strokeStyle = INK;
    context.fillStyle = INK;
    context.lineWidth = this.#pen;
    context.lineCap = "round";
    context.lineJoin = "round";
    context.beginPath();
    if (points.length === 1) {
      context.arc(points[0][0], points[0][1], this.#pen / 2, 0, 2 * Math.PI);
      context.fill();
      return;
    }
    const start = Math.max(0, from - 1);
    context.moveTo(...points[start]);
    for (const point of points.slice(start + 1)) context.lineTo(...point);
    context.stroke();
  }

  #point(event) {
    const { canvas } = this.parts;
    const place = canvas.getBoundingClientRect();
    return [
      ((event.clientX - place.left) * canvas.width) / place.width,
      ((event.clientY - place.top) * canvas.height) / place.height,
    ];
  }

  #down(event) {
    if (!this.#drawable || event.button > 0 || this.#stroke) return;
    event.preventDefault();
    if (this.file) this.clear();
    this.parts.canvas.setPointerCapture(event.pointerId);
    this.#stroke = { id: event.pointerId, points: [this.#point(event)] };
    this.#strokes.push(this.#stroke.points);
    this.parts.prompt.hidden = true;
    this.#line(this.#stroke.points, 0);
    this.changed(false);
  }

  #move(event) {
    if (this.#stroke?.id !== event.pointerId) return;
    const points = this.#stroke.points;
    const from = points.length;
    // A quick finger has several places in one event.
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) points.push(this.#point(each));
    this.#line(points, from);
    this.changed(false);
  }

  #up(event) {
    if (this.#stroke?.id !== event.pointerId) return;
    this.#stroke = null;
    this.#describe(`Drawing of ${this.#strokes.length} strokes`);
    this.changed(true);
  }

  #describe(text) {
    this.parts.canvas.setAttribute("aria-label", text);
  }
}

/** @returns {Promise<Blob>} a smaller JPEG of a bitmap */
function shrunk(bitmap, scale) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(bitmap.width * scale);
  canvas.height = Math.round(bitmap.height * scale);
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no picture"))), "image/jpeg", 0.92);
  });
}

function isDark(context, canvas) {
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  let sum = 0;
  for (let at = 0; at < data.length; at += 4) sum += data[at] + data[at + 1] + data[at + 2];
  return sum / (data.length / 4) / 3 < 110;
}
