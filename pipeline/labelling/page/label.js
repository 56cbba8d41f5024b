// The page: one picture after the other, and one key for each answer.

import { element } from "./parts.js";
import { Picture } from "./picture.js";
import { send, state } from "./requests.js";
import { REASONS, askOf, heard, shown, whyOf } from "./words.js";

/** Where this browser keeps whether single keys act. */
const SINGLE = "label-single-keys";

const by = (id) => document.getElementById(id);
const field = by("label");

let item = null;
let busy = false;
let seen = false;
let over = false;

const picture = new Picture(Object.fromEntries(["frame", "picture", "box", "copied", "copy"].map((id) => [id, by(id)])), (loaded) => {
  seen = loaded;
  if (!loaded && item && !item.problem) by("problem").textContent = "The picture cannot be shown. Skip it, or leave it out.";
});

/** Do one thing after the other; keys that are pressed meanwhile do nothing. */
async function go(work) {
  if (busy || over) return;
  busy = true;
  try {
    show(await work());
  } catch (error) {
    if (error.stale) await state().then(show, () => {});
    fail(error.message);
  } finally {
    busy = false;
  }
}

function show(answer) {
  const { total, left, saved, undo } = answer;
  item = answer.item;
  seen = false;
  fail("");
  field.value = "";
  by("progress").textContent = `${left.toLocaleString("en")} left · ${saved.toLocaleString("en")} kept`;
  by("bar").max = Math.max(1, total);
  by("bar").value = total - left;
  by("back").disabled = by("end-back").disabled = !undo;
  by("desk").hidden = item === null;
  by("end").hidden = item !== null;
  if (item === null) {
    picture.clear();
    say("That was the last picture.", `${saved} answers are kept. Finish has DVC track them.`);
    return;
  }
  by("reason").textContent = REASONS[item.reason];
  by("why").textContent = whyOf(item);
  by("problem").textContent = item.problem ?? "";
  by("accepts").textContent = item.problem ? "It cannot be labelled" : "Enter accepts";
  by("proposal").textContent = item.problem ? "–" : shown(item.proposal);
  by("proposal").className = `digits${item.proposal && !/[a-z]/.test(item.proposal) ? "" : " word"}${item.proposal.length > 9 ? " many" : ""}`;
  by("ask").textContent = askOf(item);
  by("none").hidden = item.classes.length > 0;
  field.disabled = Boolean(item.problem);
  field.maxLength = item.classes.length ? String(item.classes.length - 1).length : item.most;
  by("classes").hidden = item.classes.length === 0;
  by("classes").replaceChildren(...item.classes.map(classOf));
  if (item.problem) picture.clear();
  else picture.show(item);
  by("state").textContent = heard(item, left, total);
  document.title = `${left} left – label pictures`;
  (item.problem ? by("skip") : field).focus();
}

function classOf(name, index) {
  const button = element("button", { type: "button", "aria-pressed": "false", tabindex: "-1" }, element("kbd", {}, String(index)), name);
  button.addEventListener("click", () => {
    field.value = String(index);
    typed();
    field.focus();
  });
  return element("li", {}, button);
}

/** What was typed, as a label; null of something that is none. */
function labelOf(text) {
  if (!item.classes.length) return /^[0-9]+$/.test(text) ? text : null;
  return /^[0-9]+$/.test(text) ? (item.classes[Number(text)] ?? null) : null;
}

function typed() {
  fail("");
  by("proposal").classList.toggle("past", field.value !== "");
  const chosen = labelOf(field.value);
  [...by("classes").children].forEach(({ firstChild }, index) => {
    firstChild.setAttribute("aria-pressed", String(chosen !== null && item.classes[index] === chosen));
  });
}

function accept() {
  if (item === null) return;
  const text = field.value.trim();
  const label = text === "" ? item.proposal : labelOf(text);
  if (label === "") answer("no digits");
  else if (label === null) fail(item.classes.length ? `There is no class ${text}.` : `Not digits: ${text}`);
  else answer("label", label);
}

function answer(kind, label = "") {
  if (item === null) return;
  const { number } = item;
  // Nobody accepts what was not there to be seen.
  if (kind === "label" && !seen) return;
  go(() => send("answers", { number, kind, label }));
}

function none() {
  if (item && !item.classes.length) answer("no digits");
}

const back = () => by("back").disabled || go(() => send("undo"));

async function finish() {
  if (busy || over) return;
  busy = true;
  try {
    const { saved } = await send("done");
    over = true;
    by("desk").hidden = true;
    by("end").hidden = false;
    by("end").querySelector(".tools").hidden = true;
    say("Finished.", `${saved} answers are kept. The terminal says what comes next; you can close this page.`);
  } catch (error) {
    fail(error.message);
  }
  busy = false;
}

/** The end, in place of a picture. */
function say(title, text) {
  by("end-title").textContent = title;
  by("end-text").textContent = text;
  by("state").textContent = `${title} ${text}`;
  document.title = `${title} – label pictures`;
  by("end").focus();
}

function fail(message) {
  if (item === null && message) by("end-text").textContent = message;
  by("error").textContent = message;
}

const KEYS = {
  n: none,
  x: () => answer("unusable"),
  s: () => answer("skip"),
  ArrowRight: () => answer("skip"),
  ArrowLeft: back,
  "?": () => by("keys").showModal(),
};

function pressed(event) {
  if (by("keys").open || event.ctrlKey || event.metaKey || event.altKey) return;
  const { key, target } = event;
  if (key === "Escape") {
    field.value = "";
    if (item) typed();
    return;
  }
  if (key === "Enter" && item === null && target === by("end")) {
    event.preventDefault();
    if (!event.repeat) finish();
    return;
  }
  // A key that is held down answers one picture.
  if (key === "Enter" && event.repeat) event.preventDefault();
  const arrow = key.startsWith("Arrow");
  if (arrow && target === field && field.value !== "") return;
  if (Object.hasOwn(KEYS, key) && by("single").checked) {
    event.preventDefault();
    if (!event.repeat) KEYS[key]();
    return;
  }
  // Digits go to the field, wherever the focus is.
  if (/^[0-9]$/.test(key) && item && !item.problem && target !== field) field.focus();
}

function start() {
  by("single").checked = localStorage.getItem(SINGLE) !== "no";
  by("single").addEventListener("change", ({ target }) => localStorage.setItem(SINGLE, target.checked ? "yes" : "no"));
  by("form").addEventListener("submit", (event) => {
    event.preventDefault();
    accept();
  });
  field.addEventListener("input", typed);
  by("none").addEventListener("click", none);
  by("unusable").addEventListener("click", () => answer("unusable"));
  by("skip").addEventListener("click", () => answer("skip"));
  for (const id of ["back", "end-back"]) by(id).addEventListener("click", back);
  for (const id of ["finish", "end-finish"]) by(id).addEventListener("click", finish);
  by("help").addEventListener("click", () => by("keys").showModal());
  by("keys").addEventListener("close", () => (item ? field : by("end")).focus());
  document.addEventListener("keydown", pressed);
  go(state);
}

start();
