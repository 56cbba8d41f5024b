// The report: sorts and filters the leaderboard, shows pictures with every strategy's reading, and draws the charts.
// No name becomes markup: text goes into the page as text alone.
(() => {
  "use strict";

  const content = JSON.parse(document.getElementById("report-data").textContent);
  const suites = new Map(content.suites.map((suite) => [suite.name, suite]));
  const PAGE = 24; // cards that are added at once
  const byId = (id) => document.getElementById(id);

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === false || value === null || value === undefined) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  const count = (number) => number.toLocaleString("en-US");
  const address = (section, parameters) =>
    `#${section}?` +
    Object.entries(parameters)
      .filter(([, value]) => value !== "" && value !== null && value !== undefined)
      .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
      .join("&");

  function options(select, choices, chosen) {
    select.replaceChildren(
      ...choices.map(([value, label]) => make("option", { value, selected: value === chosen }, label)),
    );
    if (!choices.some(([value]) => value === chosen)) select.selectedIndex = 0;
  }

  // ---------------------------------------------------------------------------------------------- leaderboard

  function leaderboard() {
    const table = byId("scores");
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const form = byId("leaderboard-filters");
    form.hidden = false;

    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = make("button", { type: "button" });
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const first = heading.dataset.first ?? "ascending";
        const second = first === "ascending" ? "descending" : "ascending";
        const direction = heading.getAttribute("aria-sort") === first ? second : first;
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", direction);
        const sign = direction === "ascending" ? 1 : -1;
        const value = (row) => row.cells[column].dataset.value;
        const compare = (one, other) => {
          if (value(one) === undefined) {
            return sign * one.cells[column].textContent.trim().localeCompare(other.cells[column].textContent.trim());
          }
          // What has no such score comes last in both directions.
          if (value(one) === "" || value(other) === "") return (value(one) === "") - (value(other) === "");
          return sign * (Number(value(one)) - Number(value(other)));
        };
        body.append(...[...rows].sort(compare));
      });
    });

    function filter() {
      const { task, suite, strategy, all } = form.elements;
      table.classList.toggle("all", all.checked);
      for (const select of [suite, strategy]) {
        for (const option of select.options)
          option.hidden = Boolean(task.value && option.dataset.task && option.dataset.task !== task.value);
        if (select.selectedOptions[0]?.hidden) select.value = "";
      }
      let shown = 0;
      for (const row of rows) {
        row.hidden =
          (task.value && row.dataset.task !== task.value) ||
          (suite.value && row.dataset.suite !== suite.value) ||
          (strategy.value && row.dataset.strategy !== strategy.value);
        shown += row.hidden ? 0 : 1;
      }
      byId("leaderboard-count").textContent = `${shown} of ${rows.length} rows`;
    }
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    filter();
  }

  // ------------------------------------------------------------------------------------------------- pictures

  const blank = (suite) => suite.classes.indexOf("blank");
  const joint = (suite) => (suite.classes.every((name) => name.length === 1 || name === "blank") ? "" : " ");
  const text = (suite, classes) => classes.map((index) => suite.classes[index]).join(joint(suite)) || "nothing";

  // Which classes of a reading are not part of the longest common subsequence with the target, and how many it misses.
  function difference(target, read) {
    const longest = Array.from({ length: target.length + 1 }, () => new Array(read.length + 1).fill(0));
    for (let i = target.length - 1; i >= 0; i--) {
      for (let j = read.length - 1; j >= 0; j--) {
        longest[i][j] =
          target[i] === read[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
      }
    }
    const parts = [];
    let [i, j] = [0, 0];
    while (i < target.length || j < read.length) {
      if (i < target.length && j < read.length && target[i] === read[j]) {
        parts.push([read[j++], false]);
        i++;
      } else if (i < target.length && j < read.length && longest[i + 1][j + 1] === longest[i][j]) {
        parts.push([read[j++], true]);
        i++;
      } else if (j < read.length && (i === target.length || longest[i][j + 1] >= longest[i + 1][j])) {
        parts.push([read[j++], true]);
      } else {
        parts.push([null, true]);
        i++;
      }
    }
    return parts;
  }

  function reading(suite, at, strategy) {
    const { classes, correct } = strategy.readings;
    const element = make("span", { class: "reading" });
    const between = joint(suite);
    if (correct[at]) {
      element.append(text(suite, classes[at]));
      return element;
    }
    const parts = difference(suite.targets.classes[at], classes[at]);
    if (!classes[at].length) element.append(make("mark", {}, "nothing"));
    else {
      parts.forEach(([index, wrong], place) => {
        if (place && between) element.append(between);
        const name = index === null ? "·" : suite.classes[index];
        element.append(wrong ? make("mark", { title: index === null ? "missing" : "wrong" }, name) : name);
      });
    }
    return element;
  }

  const overlap = (a, b) => {
    const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
    const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
    if (width <= 0 || height <= 0) return 0;
    const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
    return (width * height) / (area(a) + area(b) - width * height);
  };

  // Draw a picture with the boxes of a strategy, if it has any: blue where class and place are those of a target.
  function draw(canvas, suite, at, strategy, room) {
    const [height, width] = suite.size;
    const scale = Math.max(1, Math.min(room / width, width > 64 ? 4 : 8));
    const dense = Math.min(3, Math.max(1, window.devicePixelRatio || 1));
    canvas.width = Math.round(width * scale * dense);
    canvas.height = Math.round(height * scale * dense);
    canvas.style.width = `${Math.round(width * scale)}px`;
    const sprite = byId(suite.sprite);
    const paint = canvas.getContext("2d");
    const left = (at % suite.columns) * width;
    const top = Math.floor(at / suite.columns) * height;
    const drawing = () => {
      paint.setTransform(scale * dense, 0, 0, scale * dense, 0, 0);
      paint.imageSmoothingEnabled = scale < 2;
      paint.drawImage(sprite, left, top, width, height, 0, 0, width, height);
      if (!strategy?.readings.boxes) return;
      const targets = suite.targets.boxes?.[at] ?? [];
      paint.lineWidth = 1.2 / scale;
      paint.strokeStyle = "#fff";
      paint.setLineDash([3 / scale, 2 / scale]);
      for (const box of targets) {
        if (box.some((side) => side)) paint.strokeRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
      }
      paint.setLineDash([]);
      paint.lineWidth = 1.6 / scale;
      paint.font = `bold ${12 / scale}px system-ui, sans-serif`;
      strategy.readings.boxes[at].forEach((box, place) => {
        const index = strategy.readings.classes[at][place];
        const found = targets.some(
          (target, slot) => suite.targets.classes[at][slot] === index && overlap(box, target) >= 0.5,
        );
        const colour = found ? "#56b4e9" : "#e69f00";
        paint.strokeStyle = colour;
        paint.strokeRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
        paint.lineWidth = 2.4 / scale;
        paint.strokeStyle = "#000";
        const x = Math.max(1 / scale, box[0]);
        const y = box[1] > 13 / scale ? box[1] - 3 / scale : box[1] + 12 / scale;
        paint.strokeText(suite.classes[index], x, y);
        paint.fillStyle = colour;
        paint.fillText(suite.classes[index], x, y);
        paint.lineWidth = 1.6 / scale;
      });
    };
    // Chromium decodes a picture of a data URL late; until then it draws nothing.
    return sprite.decode().then(drawing, drawing);
  }

  function readings(suite, at, selected, pick) {
    const table = make(
      "table",
      { class: "readings" },
      make("caption", { class: "unseen" }, "What each strategy reads"),
    );
    const body = table.createTBody();
    for (const strategy of suite.strategies) {
      const { confidence, correct } = strategy.readings;
      const accepted = strategy.threshold !== null && confidence[at] >= strategy.threshold;
      const name = pick
        ? make(
            "label",
            {},
            make("input", {
              type: "radio",
              name: "boxes",
              checked: strategy.name === selected,
              onchange: () => pick(strategy),
            }),
            ` ${strategy.name}`,
          )
        : strategy.name;
      body.append(
        make(
          "tr",
          { class: strategy.name === selected ? "selected" : false },
          make("th", { scope: "row" }, name),
          make(
            "td",
            {},
            reading(suite, at, strategy),
            " ",
            make(
              "span",
              { class: correct[at] ? "good" : "bad" },
              correct[at] ? "✓" : "✗",
              make("span", { class: "unseen" }, correct[at] ? " correct" : " wrong"),
            ),
          ),
          make(
            "td",
            {
              class: "confidence",
              title: accepted ? "accepted at its threshold" : "not accepted: below its threshold, or it has none",
            },
            make("span", { class: "bar", style: `--share:${confidence[at]}`, "aria-hidden": "true" }),
            ` ${confidence[at].toFixed(2)} `,
            accepted ? make("small", {}, "accepted") : null,
          ),
        ),
      );
    }
    return table;
  }

  const pictures = (() => {
    const form = byId("picture-filters");
    const cards = byId("cards");
    const more = byId("more");
    const control = form.elements;
    let matches = [];
    let shown = 0;

    const suite = () => suites.get(control.suite.value);
    const chosen = () => suite().strategies.find((strategy) => strategy.name === control.strategy.value);

    function choices(state) {
      const tasks = [...new Set(content.suites.map((each) => each.task))];
      const wanted =
        suites.get(state.suite) ??
        content.suites.find((each) => !state.task || each.task === state.task) ??
        content.suites[0];
      options(
        control.task,
        tasks.map((task) => [task, task]),
        wanted.task,
      );
      const listed = content.suites.filter((each) => each.task === wanted.task);
      options(
        control.suite,
        listed.map((each) => [each.name, each.name]),
        wanted.name,
      );
      options(
        control.strategy,
        [["", "any"], ...wanted.strategies.map((each) => [each.name, each.name])],
        state.strategy ?? "",
      );
      const names = wanted.classes
        .map((name, index) => [String(index), name])
        .filter(([index]) => Number(index) !== blank(wanted));
      options(control.digit, [["", "any"], ...names], state.digit ?? "");
      options(control.read, [["", "any"], ...names], state.read ?? "");
      control.outcome.value = state.outcome ?? "wrong";
      control.order.value = state.order ?? "confident";
      for (const limit of ["from", "to"]) control[limit].value = state[limit] ?? "";
    }

    const state = () =>
      Object.fromEntries(
        ["suite", "strategy", "outcome", "digit", "read", "from", "to", "order"].map((name) => [
          name,
          control[name].value,
        ]),
      );

    function matching() {
      const here = suite();
      const { outcome, digit, read, from, to, order } = state();
      const readers = chosen() ? [chosen()] : here.strategies;
      const low = from === "" ? 0 : Number(from);
      const high = to === "" ? 1 : Number(to);
      const found = [];
      here.indices.forEach((index, at) => {
        if (digit !== "" && !here.targets.classes[at].includes(Number(digit))) return;
        const fitting = readers.filter(
          ({ readings: { classes, confidence, correct } }) =>
            (outcome === "" || (outcome === "correct") === Boolean(correct[at])) &&
            confidence[at] >= low &&
            confidence[at] <= high &&
            // As a wrong reading counts a class that the target does not have at that place.
            (read === "" ||
              (outcome === "wrong"
                ? difference(here.targets.classes[at], classes[at]).some(
                    ([each, wrong]) => wrong && each === Number(read),
                  )
                : classes[at].includes(Number(read)))),
        );
        if (!fitting.length) return;
        const confidences = fitting.map((strategy) => strategy.readings.confidence[at]);
        const misread = here.strategies.filter((strategy) => !strategy.readings.correct[at]).length;
        found.push({ at, index, high: Math.max(...confidences), low: Math.min(...confidences), misread });
      });
      const orders = {
        confident: (a, b) => b.high - a.high,
        doubtful: (a, b) => a.low - b.low,
        hardest: (a, b) => b.misread - a.misread || b.high - a.high,
        index: (a, b) => a.index - b.index,
      };
      return found.sort(orders[order] ?? orders.confident);
    }

    function card({ at, index }) {
      const here = suite();
      const target = text(here, here.targets.classes[at]);
      const canvas = make("canvas", {
        role: "img",
        "aria-label": `picture ${index} of ${here.name}, target ${target}`,
      });
      draw(canvas, here, at, chosen(), Math.min(280, document.documentElement.clientWidth - 70));
      return make(
        "article",
        { class: "card" },
        make(
          "h3",
          {},
          make("a", { href: address("pictures", { ...state(), picture: index }) }, `${here.name} ${index}`),
          make("span", {}, "target ", make("b", {}, target)),
        ),
        make(
          "button",
          {
            type: "button",
            class: "picture",
            "aria-label": `enlarge picture ${index}, target ${target}`,
            onclick: () => enlarge(at),
          },
          canvas,
        ),
        readings(here, at, control.strategy.value),
      );
    }

    function extend(many = PAGE) {
      const next = matches.slice(shown, shown + many);
      cards.append(...next.map(card));
      shown += next.length;
      more.hidden = shown >= matches.length;
      more.textContent = `Show ${Math.min(PAGE, matches.length - shown)} more of ${count(matches.length - shown)}`;
    }

    // How many pictures match, and how many errors are not on the page.
    function explain() {
      const here = suite();
      const found = (strategy) => strategy.readings.correct.filter((correct) => !correct).length;
      let said = `${count(matches.length)} ${matches.length === 1 ? "picture matches" : "pictures match"}.`;
      if (chosen()) {
        const { name, wrong, listed } = chosen();
        const shownHere = found(chosen());
        said += ` Of ${count(here.n)} test pictures of ${here.name}, ${name} misreads ${count(wrong)}; `;
        said +=
          shownHere === wrong
            ? "all of them are here."
            : `${count(shownHere)} of them are here, among them the ${count(listed)} most confident. ` +
              `The other ${count(wrong - shownHere)} are in predictions/${here.task}/${name}.`;
      } else {
        const left = here.strategies
          .filter((strategy) => found(strategy) < strategy.wrong)
          .map((strategy) => `${strategy.name} ${count(strategy.wrong - found(strategy))} of ${count(strategy.wrong)}`);
        if (left.length) said += ` Less confident errors that are not here, but in predictions/: ${left.join(", ")}.`;
      }
      byId("picture-count").textContent = said;
    }

    function show(wanted = {}) {
      choices(wanted);
      update();
    }

    function update() {
      matches = matching();
      shown = 0;
      cards.replaceChildren();
      extend();
      explain();
    }

    // The large view.
    const dialog = byId("large");
    let current = 0;

    function enlarge(at) {
      const here = suite();
      current = Math.max(
        0,
        matches.findIndex((match) => match.at === at),
      );
      const wrong = here.strategies.find((strategy) => strategy.readings.boxes);
      let selected = chosen() ?? wrong ?? here.strategies[0];
      const target = text(here, here.targets.classes[at]);
      byId("large-title").textContent = `${here.name} ${here.indices[at]}: target ${target}`;
      const canvas = make("canvas", {
        role: "img",
        "aria-label": `picture ${here.indices[at]} of ${here.name}, target ${target}`,
      });
      byId("large-picture").replaceChildren(canvas);
      const room = Math.min(640, document.documentElement.clientWidth - 80);
      const picture = () => draw(canvas, here, at, selected, room);
      const pick = wrong
        ? (strategy) => {
            selected = strategy;
            picture();
          }
        : null;
      byId("large-readings").replaceChildren(
        readings(here, at, selected.name, pick),
        wrong
          ? make(
              "p",
              { class: "note" },
              "The picture has the boxes of the strategy that is chosen: blue where class and place are right, orange elsewhere; dashed those of the target.",
            )
          : "",
      );
      byId("large-link").setAttribute("href", address("pictures", { ...state(), picture: here.indices[at] }));
      byId("large-previous").disabled = current === 0;
      byId("large-next").disabled = current >= matches.length - 1;
      picture();
      if (!dialog.open) dialog.showModal();
    }

    function step(by) {
      const next = matches[current + by];
      if (next) enlarge(next.at);
    }

    function enlargeIndex(index) {
      const at = suite().indices.indexOf(index);
      if (at >= 0) enlarge(at);
    }

    function start() {
      form.hidden = false;
      form.addEventListener("submit", (event) => event.preventDefault());
      form.addEventListener("input", (event) => {
        if (event.target === control.task)
          choices({ task: control.task.value, outcome: control.outcome.value, order: control.order.value });
        if (event.target === control.suite) choices({ ...state(), strategy: chosenIn(control.suite.value) });
        update();
        history.replaceState(null, "", address("pictures", state()));
      });
      byId("picture-reset").addEventListener("click", () => {
        show({ suite: control.suite.value });
        history.replaceState(null, "", address("pictures", state()));
      });
      more.addEventListener("click", () => {
        const first = cards.childElementCount;
        extend();
        cards.children[first]?.querySelector("a")?.focus();
      });
      byId("large-close").addEventListener("click", () => dialog.close());
      byId("large-previous").addEventListener("click", () => step(-1));
      byId("large-next").addEventListener("click", () => step(1));
      byId("large-link").addEventListener("click", () => dialog.close());
      dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
      dialog.addEventListener("keydown", (event) => {
        if (event.target.type === "radio") return;
        if (event.key === "ArrowLeft") step(-1);
        if (event.key === "ArrowRight") step(1);
      });
      show();
    }

    // A strategy stays chosen where the other suite has it.
    const chosenIn = (name) =>
      suites.get(name).strategies.some((each) => each.name === control.strategy.value) ? control.strategy.value : "";

    return { start, show, enlargeIndex };
  })();

  // --------------------------------------------------------------------------------------------------- charts

  function embed(place, name, rows) {
    const spec = structuredClone(content.charts[name]);
    spec.datasets = { ...spec.datasets, rows };
    return vegaEmbed(place, spec, { actions: false, renderer: "svg", logLevel: vega.Error, mode: "vega-lite" });
  }

  const waiting = new Map(); // figures whose chart is not drawn yet

  function drawWaiting(figure) {
    const rows = waiting.get(figure);
    if (!rows) return null;
    waiting.delete(figure);
    return embed(figure.querySelector(".plot"), figure.dataset.chart, rows);
  }

  function charts() {
    const seen = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) {
          if (!entry.isIntersecting) continue;
          seen.unobserve(entry.target);
          drawWaiting(entry.target);
        }
      },
      { rootMargin: "400px" },
    );
    for (const figure of document.querySelectorAll("figure.chart")) {
      const { chart, suite, strategy, metric } = figure.dataset;
      const rows = strategy ? content.curves[strategy][metric] : content[chart][suite];
      if (!rows.length) {
        figure.hidden = true;
        continue;
      }
      waiting.set(figure, rows);
      seen.observe(figure);
    }
    window.addEventListener("beforeprint", () => [...waiting.keys()].forEach(drawWaiting));
  }

  const diagnostics = (() => {
    const form = byId("diagnostic-filters");
    const control = form.elements;
    let drawing = Promise.resolve();

    function choices(state) {
      const suite = suites.get(state.suite) ?? content.suites[0];
      options(
        control.suite,
        content.suites.map((each) => [each.name, each.name]),
        suite.name,
      );
      options(
        control.strategy,
        suite.strategies.map((each) => [each.name, each.name]),
        state.strategy,
      );
    }

    const link = (suite, strategy, target, prediction) =>
      address("pictures", {
        suite: suite.name,
        strategy: strategy.name,
        outcome: target === prediction ? "correct" : "wrong",
        digit: target === blank(suite) ? "" : target,
        read: prediction === blank(suite) ? "" : prediction,
      });

    async function update() {
      const suite = suites.get(control.suite.value);
      const strategy = suite.strategies.find((each) => each.name === control.strategy.value);
      const used = new Set(strategy.confusion.flatMap(([target, prediction]) => [target, prediction]));
      const names = suite.classes.map((_, index) => index).filter((index) => used.has(index));
      const totals = new Map();
      const cells = new Map();
      for (const [target, prediction, number] of strategy.confusion) {
        totals.set(target, (totals.get(target) ?? 0) + number);
        cells.set(`${target} ${prediction}`, number);
      }
      const rows = names.flatMap((target) =>
        names.map((prediction) => {
          const number = cells.get(`${target} ${prediction}`) ?? 0;
          return {
            target: suite.classes[target],
            prediction: suite.classes[prediction],
            count: number,
            share: totals.get(target) ? number / totals.get(target) : 0,
            errors: target === prediction ? 0 : number,
          };
        }),
      );
      byId("confusion-caption").textContent =
        `${strategy.name} on ${suite.name}: target against prediction; errors are coloured`;
      byId("reliability-caption").textContent =
        `${strategy.name} on ${suite.name}: accuracy of the readings by confidence; dots on the line are calibrated`;
      const errors = strategy.confusion
        .filter(([target, prediction]) => target !== prediction)
        .sort((a, b) => b[2] - a[2]);
      byId("confused").replaceChildren(
        make("h3", {}, errors.length ? "Most often confused" : "Nothing is confused"),
        make(
          "ul",
          {},
          ...errors
            .slice(0, 12)
            .map(([target, prediction, number]) =>
              make(
                "li",
                {},
                make(
                  "a",
                  { href: link(suite, strategy, target, prediction) },
                  `${suite.classes[target]} read as ${suite.classes[prediction]}`,
                ),
                `: ${count(number)}`,
              ),
            ),
        ),
      );
      // One after the other: two charts that are drawn in one place at once may end in any order.
      drawing = drawing.then(() => embed(byId("reliability"), "reliability", strategy.reliability));
      drawing = drawing.then(() => embed(byId("confusion"), "confusion", rows));
      const drawn = await drawing;
      drawn.view.addEventListener("click", (_, item) => {
        if (!item?.datum?.target) return;
        location.hash = link(
          suite,
          strategy,
          suite.classes.indexOf(item.datum.target),
          suite.classes.indexOf(item.datum.prediction),
        );
      });
    }

    function show(state = {}) {
      choices(state);
      return update();
    }

    function start() {
      form.hidden = false;
      form.addEventListener("submit", (event) => event.preventDefault());
      form.addEventListener("input", () => {
        choices({ suite: control.suite.value, strategy: control.strategy.value });
        update();
        history.replaceState(
          null,
          "",
          address("diagnostics", { suite: control.suite.value, strategy: control.strategy.value }),
        );
      });
      show();
    }

    return { start, show };
  })();

  // ---------------------------------------------------------------------------------------------------- links

  // `#pictures?suite=plain&strategy=ctc` sets the filters of that section; the browser itself finds no such element.
  function follow() {
    const [name, query] = location.hash.slice(1).split("?");
    if (query === undefined) return;
    const state = Object.fromEntries(new URLSearchParams(query));
    if (name === "pictures") {
      pictures.show(state);
    } else if (name === "diagnostics") {
      diagnostics.show(state);
    } else return;
    byId(name).scrollIntoView();
    byId(`${name}-title`).focus({ preventScroll: true });
    if (name === "pictures" && state.picture) pictures.enlargeIndex(Number(state.picture));
  }

  function contents() {
    const links = new Map([...document.querySelectorAll("#contents a")].map((link) => [link.hash.slice(1), link]));
    const visible = new Set();
    const seen = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) visible[entry.isIntersecting ? "add" : "delete"](entry.target.id);
        const first = [...links.keys()].find((id) => visible.has(id));
        for (const [id, link] of links) {
          if (id === first) {
            link.setAttribute("aria-current", "true");
            link.closest("ul").scrollLeft = link.offsetLeft - 60;
          } else link.removeAttribute("aria-current");
        }
      },
      { rootMargin: "-20% 0px -60% 0px" },
    );
    for (const id of links.keys()) seen.observe(byId(id));
  }

  leaderboard();
  contents();
  if (content.suites.length) {
    pictures.start();
    diagnostics.start();
    charts();
    window.addEventListener("hashchange", follow);
    follow();
  }
})();
