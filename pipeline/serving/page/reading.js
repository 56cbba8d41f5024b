// The reading of the served model: what it read, how sure it is, whether that is accepted, and why.

import { fillBar, percent, readingOf } from "./parts.js";

const MANY = 9;
/** Notes that hold for every drawing, and say nothing of it. */
const OF_DRAWINGS = new Set(["grey", "fitted", "scaled_down"]);

export class Reading {
  /**
   * @param {Record<string, HTMLElement>} parts by their ids
   * @param {Record<string, string>} notes what each note means
   * @param {Record<string, any>} models of `/info`, by task
   */
  constructor(parts, notes, models) {
    this.parts = parts;
    this.notes = notes;
    this.models = models;
  }

  /** Nothing was read; `why` says so in a few words. */
  clear(why = "Nothing to read yet.") {
    this.#say(null, why, "");
    this.parts.sure.hidden = true;
    this.parts.notes.replaceChildren();
    this.parts.model.textContent = "";
  }

  /**
   * @param {any} answer of `/read`
   * @param {string[]} pageNotes of the page itself
   * @param {boolean} drawn whether the picture is a drawing
   */
  show(answer, pageNotes, drawn) {
    const threshold = this.models[answer.task]?.threshold ?? null;
    const { confidence, accepted } = answer;
    this.#say(readingOf(answer), verdict(answer), accepted ? "yes" : "");
    this.parts.sure.hidden = confidence === null;
    if (confidence !== null) {
      fillBar(this.parts.scale, confidence, threshold);
      this.parts.why.textContent = why(confidence, threshold, accepted);
    }
    const all = [...pageNotes, ...answer.notes, ...answer.lines.flatMap((line) => line.notes)];
    const notes = drawn ? all.filter((note) => !OF_DRAWINGS.has(note)) : all;
    this.parts.notes.replaceChildren(
      ...[...new Set(notes)].map((note) => {
        const item = document.createElement("li");
        item.textContent = this.notes[note] ?? note;
        return item;
      }),
    );
    const { strategy, version, origin } = answer.model;
    const stand = origin === "embedded" ? ", trained on a small stand-in, not on the real data" : "";
    this.parts.model.textContent = `Read by ${strategy}${version ? ` ${version}` : ""}${stand}.`;
  }

  #say(text, verdictText, kind) {
    const { digits, verdict: line } = this.parts;
    digits.textContent = text || "–";
    digits.className = `digits${text ? "" : " nothing"}${/[a-z]/.test(text ?? "") ? " word" : ""}${(text ?? "").length > MANY ? " many" : ""}`;
    line.textContent = verdictText;
    line.className = `verdict ${kind}`;
  }
}

function verdict({ accepted, lines }) {
  if (!lines.length) return "No writing was found.";
  if (accepted) return "Accepted";
  return accepted === null ? "Not accepted: check it" : "Declined: a person should check";
}

function why(confidence, threshold, accepted) {
  const sure = `${percent(confidence)} sure`;
  if (threshold === null) return `${sure}. This model has no threshold that assures 99.5 % accuracy.`;
  const needed = percent(threshold);
  if (accepted) return `${sure}. It needs ${needed}: from there on, 99.5 % of the readings were right in validation.`;
  if (confidence < threshold) return `${sure}, but it needs ${needed} to be right 99.5 % of the time.`;
  return `${sure}, more than the ${needed} that it needs, but see below.`;
}
