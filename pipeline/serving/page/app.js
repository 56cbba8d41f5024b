// The page: what is in the picture, the picture, its reading, and everything that follows from it.

import { Board } from "./board.js";
import { Comparison } from "./compare.js";
import { layersOf } from "./features.js";
import { Judge } from "./judge.js";
import { boxesOf, element } from "./parts.js";
import { Reading } from "./reading.js";
import { Newest, get, send } from "./service.js";
import { MODES, NOTES } from "./words.js";

/** Milliseconds after the last movement of the pen. */
const READ_AFTER = 120;
const COMPARE_AFTER = 500;

const by = (id) => document.getElementById(id);
const narrow = () => matchMedia("(max-width: 560px)").matches;
const reads = new Newest();
const compares = new Newest();
const looks = new Newest();

let task = null;
let label = null;
let number = 0;
let timers = [];
let models = {};
let examples = [];

const board = new Board(
  { board: by("board"), canvas: by("canvas"), overlay: by("overlay"), prompt: by("prompt") },
  (finished) => changed(finished),
);
const comparison = new Comparison(
  { lead: by("compare-lead"), cards: by("cards"), inputs: by("inputs"), row: by("inputs-row"), state: by("compare-state") },
  (boxes) => board.mark(boxes),
);
let reading = null;
let judge = null;

async function start() {
  let notes;
  let feedback;
  try {
    [{ models, feedback }, examples, notes] = await Promise.all([
      get("/info"), get("/page/examples/examples.json"), get("/page/notes.json"),
    ]);
  } catch (error) {
    fail(error);
    return;
  }
  reading = new Reading(
    Object.fromEntries(["digits", "verdict", "sure", "scale", "why", "notes", "model"].map((id) => [id, by(id)])),
    { ...notes, ...NOTES },
    models,
  );
  if (feedback) {
    judge = new Judge(
      Object.fromEntries(["judge", "right", "label", "send", "labels", "judged"].map((id) => [id, by(id)])),
    );
  }
  const tasks = Object.keys(MODES).filter((name) => name in models);
  by("modes").append(...tasks.map(modeOf));
  by("look-inside").addEventListener("click", () => choose("mnist", true));
  by("undo").addEventListener("click", () => board.undo());
  by("clear").addEventListener("click", () => clear());
  for (const id of ["file", "photo"]) {
    by(id).addEventListener("change", ({ target }) => {
      if (target.files.length) open(target.files[0], null);
      target.value = "";
    });
  }
  listen();
  if (tasks.length) choose(tasks[0]);
}

function modeOf(name) {
  const input = element("input", { type: "radio", name: "mode", value: name, class: "hidden" });
  input.addEventListener("change", () => choose(name));
  return element("label", {}, input, element("span", {}, MODES[name].name));
}

function choose(name, focus = false) {
  task = name;
  const input = document.querySelector(`input[name=mode][value=${name}]`);
  input.checked = true;
  if (focus) {
    input.focus();
    by("modes").scrollIntoView({ block: "center" });
  }
  by("hint").textContent = MODES[name].hint;
  by("inside").hidden = name !== "mnist";
  by("look").hidden = name === "mnist" || !("mnist" in models);
  board.open(MODES[name], narrow());
  by("examples").replaceChildren(...examples.filter((each) => each.task === name).map(exampleButton));
  clear();
}

function exampleButton({ file, suite, label: known }) {
  const image = element("img", { src: `/page/examples/${file}`, alt: "" });
  const button = element("button", { type: "button", "aria-pressed": "false" }, image);
  button.setAttribute("aria-label", `Example of ${suite}: ${known}`);
  button.addEventListener("click", async () => {
    try {
      const response = await fetch(image.src);
      await open(await response.blob(), known);
      button.setAttribute("aria-pressed", "true");
    } catch (error) {
      fail(error);
    }
  });
  return button;
}

/** Open a file; `known` is what is in it, or null. */
async function open(file, known) {
  forgetPicture();
  label = known;
  try {
    await board.load(file);
  } catch {
    board.loadUnseen(file);
  }
}

function clear() {
  board.clear();
  forgetPicture();
  changed(true);
}

function forgetPicture() {
  label = null;
  for (const button of by("examples").children) button.setAttribute("aria-pressed", "false");
}

function changed(finished) {
  for (const timer of timers) clearTimeout(timer);
  timers = [];
  by("undo").disabled = !board.drawn;
  by("clear").disabled = board.empty;
  if (board.drawn && label !== null) forgetPicture();
  if (board.empty) {
    for (const each of [reads, compares, looks]) each.forget();
    fail(null);
    reading.clear();
    judge?.clear();
    comparison.clear(task);
    by("layers").replaceChildren();
    return;
  }
  const quick = finished && board.file !== null;
  timers.push(setTimeout(read, quick ? 0 : READ_AFTER), setTimeout(compare, quick ? 0 : COMPARE_AFTER));
}

function read() {
  const asked = task;
  const { notes, drawn } = board;
  let picture = null;
  reads.ask(
    async (wanted) => {
      picture = await board.picture();
      return send(`/read?task=${asked}&fit=true`, picture, wanted);
    },
    (answer) => {
      fail(null);
      reading.show(answer, notes, drawn);
      judge?.show(answer, picture, asked === "cifar10" ? models[asked].class_names : []);
      board.mark(boxesOf(answer));
      done("read");
    },
    (error) => {
      reading.clear("Not read.");
      judge?.clear();
      board.mark([]);
      fail(error);
      done("failed");
    },
  );
}

function compare() {
  const asked = task;
  const known = label;
  comparison.say("Reading …");
  compares.ask(
    async (wanted) => send(`/compare?task=${asked}`, await board.picture(), wanted),
    (answer) => comparison.show(answer, known),
    (error) => {
      comparison.clear(asked);
      comparison.say(error.message);
    },
  );
  if (asked !== "mnist") return;
  looks.ask(
    async (wanted) => send("/features", await board.picture(), wanted),
    (answer) => by("layers").replaceChildren(...layersOf(answer)),
    (error) => by("layers").replaceChildren(element("p", { class: "small" }, error.message)),
  );
}

/** Count the pictures that were answered, for anyone who waits for the page. */
function done(state) {
  number += 1;
  by("reading").dataset.picture = number;
  by("reading").dataset.state = state;
}

function fail(error) {
  by("error").textContent = error ? error.message : "";
}

function listen() {
  const target = by("board");
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      target.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) target.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    target.classList.remove("over");
    const file = event.dataTransfer?.files[0];
    if (file) open(file, null);
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])][0];
    if (file) open(file, null);
    else fail(new Error("There is no picture in the clipboard."));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "z" && (event.ctrlKey || event.metaKey) && board.drawn) {
      event.preventDefault();
      board.undo();
    }
  });
}

start();
