// Side by side: the cards of all strategies that read the same picture.

import { bar, boxesOf, element, percent, pixelCanvas, readingOf, slotsOf } from "./parts.js";
import { IDEAS, LEADS } from "./words.js";

const NUMBERS = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export class Comparison {
  /**
   * @param {Record<string, HTMLElement>} parts by their ids
   * @param {(boxes: object[]) => void} mark draws boxes over the picture
   */
  constructor(parts, mark) {
    this.parts = parts;
    this.mark = mark;
    this.shown = null;
  }

  clear(task) {
    this.parts.lead.textContent = LEADS[task] ?? "";
    this.parts.cards.replaceChildren();
    this.parts.inputs.hidden = true;
    this.shown = null;
    this.say("They read as soon as there is a picture.");
  }

  say(text) {
    this.parts.state.textContent = text;
  }

  /**
   * @param {any} answer of `/compare`
   * @param {string | null} label what is in the picture, where that is known
   */
  show(answer, label) {
    const { cards, inputs, row } = this.parts;
    row.replaceChildren(
      ...answer.inputs.map((pixels, index) => {
        const canvas = pixelCanvas(pixels);
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", `Input ${index + 1}, ${pixels.width} by ${pixels.height} pixels`);
        return canvas;
      }),
    );
    inputs.hidden = !answer.inputs.length;
    cards.replaceChildren(...answer.readings.map((reading) => this.#card(reading, label)));
    const count = answer.readings.length;
    const known = label === null ? "" : ` In the picture: ${label}.`;
    this.say(`${count} ${count === 1 ? "strategy has" : "strategies have"} read it.${known}`);
  }

  #card(reading, label) {
    const { strategy, served, answer, error } = reading;
    const head = element("header", {}, element("h3", {}, strategy));
    if (served) head.append(element("span", { class: "tag" }, "served"));
    const card = element("li", { class: "card", "data-strategy": strategy }, head);
    if (error) {
      card.append(element("p", { class: "state" }, `Cannot read this picture: ${error.message}`));
    } else {
      const text = readingOf(answer);
      const said = element("p", { class: /[a-z]/.test(text) ? "said word" : "said" }, text || "–");
      card.append(said, slotBars(answer), element("p", { class: "state small" }, state(answer, label)));
    }
    card.append(element("p", { class: "idea" }, IDEAS[strategy] ?? ""));
    if (answer && slotsOf(answer).some((slot) => slot.box)) card.append(this.#boxesButton(strategy, answer));
    card.append(figures(reading));
    return card;
  }

  #boxesButton(strategy, answer) {
    const button = element("button", { type: "button", "aria-pressed": "false" }, `Show where`);
    button.setAttribute("aria-label", `Show where ${strategy} found each digit`);
    button.addEventListener("click", () => {
      for (const other of this.parts.cards.querySelectorAll("button[aria-pressed]")) {
        other.setAttribute("aria-pressed", String(other === button));
      }
      this.mark(boxesOf(answer));
    });
    return button;
  }
}

function state(answer, label) {
  const sure = answer.confidence === null ? "" : `${percent(answer.confidence)} sure, `;
  const accepted = answer.accepted ? "accepted" : "declined";
  if (label === null || !answer.lines.length) return `${sure}${accepted}`;
  const same = readingOf(answer).replaceAll(/\s/g, "") === label.replaceAll(/\s/g, "");
  return `${same ? "✓ right" : "✗ wrong"}, ${sure}${accepted}`;
}

function slotBars(answer) {
  const bars = slotsOf(answer).map((slot) => element("i", {}, bar(slot.probability)));
  return element("div", { class: "slots", "aria-hidden": "true" }, ...bars);
}

function figures({ milliseconds, parameters, bytes }) {
  const values = [`${NUMBERS.format(parameters)} parameters`, `${(bytes / 1e6).toFixed(1)} MB`];
  if (milliseconds !== undefined) values.unshift(`${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`);
  return element("p", { class: "figures" }, ...values.map((value) => element("span", {}, value)));
}
