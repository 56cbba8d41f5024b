// Feedback on a reading: correct, or its correction. Shown only where the service accepts feedback.

import { readingOf } from "./parts.js";
import { post } from "./service.js";

export class Judge {
  /**
   * @param {Record<string, HTMLElement>} parts by their ids: judge, right, label, send, labels, judged
   */
  constructor(parts) {
    this.parts = parts;
    this.answered = null;
    parts.right.addEventListener("click", () => this.#say(readingOf(this.answered.answer)));
    parts.judge.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#say(this.#typed());
    });
    parts.label.addEventListener("input", () => this.#ready());
  }

  /**
   * An answer that can be judged.
   * @param {any} answer of `/read`
   * @param {Blob} picture as it was sent
   * @param {string[]} classes names to choose from; none where digits are typed
   */
  show(answer, picture, classes) {
    this.answered = { answer, picture };
    this.classes = classes;
    this.parts.labels.replaceChildren(...classes.map((name) => new Option(name, name)));
    this.parts.label.inputMode = classes.length ? "text" : "numeric";
    this.parts.label.value = "";
    this.parts.judged.textContent = "";
    this.parts.right.hidden = readingOf(answer) === "";
    this.parts.judge.hidden = false;
    this.#ready();
  }

  /** There is no answer. */
  clear() {
    this.answered = null;
    this.parts.judge.hidden = true;
  }

  /** The label as the service has it: a newline between two lines, where a person types a blank. */
  #typed() {
    const text = this.parts.label.value.trim();
    return this.classes.length ? text : text.split(/\s+/).join("\n");
  }

  #ready() {
    const typed = this.#typed();
    this.parts.send.disabled = !(this.classes.length ? this.classes.includes(typed) : /^[0-9\n]+$/.test(typed));
  }

  async #say(label) {
    const { answer, picture } = this.answered;
    const { judged, right, send } = this.parts;
    right.disabled = send.disabled = true;
    judged.textContent = "Sending …";
    try {
      const { task, sha256 } = answer.model;
      const { wrong } = await post("/feedback", {
        task, model: sha256, reading: readingOf(answer), label, picture: await base64(picture),
      });
      judged.textContent = wrong ? `Thank you: noted as ${label.replaceAll("\n", " ")}.` : "Thank you: noted as right.";
    } catch (error) {
      judged.textContent = error.message;
      this.#ready();
    } finally {
      right.disabled = false;
    }
  }
}

async function base64(picture) {
  const url = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(picture);
  });
  return url.slice(url.indexOf(",") + 1);
}
