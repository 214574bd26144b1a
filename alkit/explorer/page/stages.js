// Stage by stage: the slider, play, what was bought so far in bars, and accuracy against cost.

const SECOND = 900; // ms of a stage while playing
let playing = 0;

const lastStage = () => Math.max(...meta.purchases.map((bought) => bought.picks.length)) - 1;

function buildStages() {
  const place = $("stages");
  place.hidden = !meta.purchases.length;
  if (place.hidden) return;
  const play = h("button", { type: "button", id: "play", class: "main", onclick: () => (playing ? stop() : start()) }, "Play");
  const slider = h("input", { type: "range", id: "stage", min: -1, max: lastStage(), step: 1, value: -1,
    "aria-label": "Stage", oninput: () => { stop(); change({ stage: Number(slider.value) }); } });
  place.append(h("div", { class: "controls" }, play, slider, h("output", { id: "stage-text", for: "stage" })),
    h("ul", { class: "curves", id: "bars-key" }), h("div", { id: "bars" }));
  new ResizeObserver(fitBars).observe($("bars"));
}

// The column whose parts the bars show: the one on the map, so that a colour means the same; else the first.
function barColumn() {
  const [kind, c] = state.by.split(":");
  return kind === "category" && meta.categories[c].names.length <= 12 ? Number(c) : 0;
}

function start() {
  if (state.stage >= lastStage()) change({ stage: -1 });
  playing = setInterval(() => {
    change({ stage: state.stage + 1 });
    if (state.stage >= lastStage()) stop();
  }, SECOND);
  change({ stage: state.stage + 1 });
  $("play").textContent = "Pause";
}

function stop() {
  clearInterval(playing);
  playing = 0;
  if ($("play")) $("play").textContent = "Play";
}

function stageText() {
  if (state.stage < 0) return "The whole pool. Play, or drag: what did each strategy buy?";
  return state.stage ? `Stage ${state.stage} of ${lastStage()}` : "Initial set, the same for all";
}

// What strategy p has bought up to the stage: its cost, its accuracy, and how many of each entry of the bars' column.
function soFar(p, stage) {
  const bought = meta.purchases[p];
  const last = Math.min(stage, bought.picks.length - 1);
  const picks = bought.picks.slice(0, last + 1).flat();
  const c = barColumn();
  const parts = meta.categories.length ? meta.categories[c].names.map(() => 0) : [];
  const now = parts.slice();
  if (parts.length) {
    const codes = arrayOf(`category${c}`);
    for (const i of picks) if (codes[i] !== meta.none.category) parts[codes[i]]++;
    for (const i of bought.picks[stage] ?? []) if (codes[i] !== meta.none.category) now[codes[i]]++;
  }
  const none = parts.length ? picks.length - parts.reduce((a, b) => a + b, 0) : 0;
  return { cost: picks.length, accuracy: bought.accuracies[last], parts, now, none };
}

function showStages() {
  if (!meta.purchases.length) return;
  $("stage").value = state.stage;
  $("stage").setAttribute("aria-valuetext", stageText());
  $("stage-text").textContent = stageText();
  const shown = [...new Set(panes.filter((pane) => !pane.element.hidden).map((pane) => state.strategy[pane.p]))];
  const key = state.stage >= 0 && meta.categories.length ? colouring(`category:${barColumn()}`, 0).entries.slice() : [];
  if (key.length && shown.some((p) => soFar(p, state.stage).none)) key.push({ name: "none", symbol: "circle", colour: grey() });
  $("bars-key").hidden = !key.length;
  $("bars-key").replaceChildren(...key.map(({ name, symbol, colour }) => h("li", {}, symbolPicture(symbol, colour), h("span", { class: "name" }, name))));
  $("bars").replaceChildren(...(state.stage < 0 ? [] : shown.map((p) => bar(p, Math.max(...meta.purchases.map(
    (_, q) => soFar(q, state.stage).cost))))));
  fitBars();
  showProgress();
}

// Each piece says as much as it has room for: number and name, the number, or nothing; its title says all.
function fitBars() {
  for (const piece of $("bars").querySelectorAll(".piece")) {
    const text = piece.firstChild;
    text.textContent = [piece.dataset.text, piece.dataset.text.split(" ")[0], ""].find((words) => {
      text.textContent = words;
      return text.offsetWidth <= piece.clientWidth;
    }) ?? "";
  }
}

function bar(p, most) {
  const { cost, accuracy, parts, now, none } = soFar(p, state.stage);
  const column = meta.categories[barColumn()];
  const piece = (number, name, colour, note) => {
    if (!number) return null;
    const text = /^\d/.test(name) ? `${number}` : `${number} ${name}`; // "19 5" would be read as one number
    const made = h("span", { class: "piece", "data-text": text, title: `${column.key} ${name}: ${number}${note}` }, h("span", {}));
    Object.assign(made.style, { flexGrow: number, background: colour, color: inkOn(colour) });
    return made;
  };
  const pieces = parts.map((number, k) => piece(number, column.names[k], shade(column.colours[k]), `, of these ${now[k]} at this stage`));
  if (none) pieces.push(piece(none, "none", grey(), ""));
  const strip = h("div", { class: "strip", role: "img", "aria-label": parts.map((number, k) => `${column.names[k]} ${number}`).join(", ") }, ...pieces);
  strip.style.width = `${(100 * cost) / most}%`;
  const numbers = `${count(cost)} looks${accuracy == null ? "" : `, ${percent(accuracy)} right`}`;
  return h("div", { class: "bar", "data-strategy": p, "data-cost": cost, "data-parts": parts.join(" ") },
    h("b", {}, meta.purchases[p].name), h("div", { class: "track" }, strip), h("span", { class: "numbers" }, numbers));
}

function svg(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
}

// Accuracy against cost of every strategy; those on the maps are bold, with a dot at the stage.
function showProgress() {
  const place = $("progress");
  const curves = meta.purchases.map((bought, p) => ({ p, points: bought.accuracies.map((accuracy, stage) => (
    [bought.picks.slice(0, stage + 1).reduce((sum, picks) => sum + picks.length, 0), accuracy])) })).filter((curve) => curve.points.length);
  place.hidden = !curves.length || state.stage < 0;
  if (place.hidden) return;
  const every = curves.flatMap((curve) => curve.points);
  const [x0, x1] = [Math.min(...every.map(([x]) => x)), Math.max(...every.map(([x]) => x))];
  const [y0, y1] = [Math.min(...every.map(([, y]) => y)), Math.max(...every.map(([, y]) => y))];
  const at = ([x, y]) => [48 + (262 * (x - x0)) / (x1 - x0 || 1), 130 - (115 * (y - y0)) / (y1 - y0 || 1)];
  const picture = svg("svg", { viewBox: "0 0 320 160", role: "img", "aria-label": "Accuracy against the number of images looked at" });
  for (const [value, y] of [[y0, 130], [y1, 15]]) picture.append(svg("text", { x: 44, y: y + 4, "text-anchor": "end" }, percent(value)));
  picture.append(svg("text", { x: 48, y: 148 }, `${x0} looks`), svg("text", { x: 310, y: 148, "text-anchor": "end" }, count(x1)));
  picture.append(svg("path", { d: "M48 10V132H312", class: "axis" }));
  const shown = panes.filter((pane) => !pane.element.hidden).map((pane) => state.strategy[pane.p]);
  const names = h("ul", { class: "curves" });
  for (const { p, points } of curves) {
    const bold = shown.includes(p);
    const { dashes, symbol } = meta.purchases[p];
    const colour = shade(meta.purchases[p].colour);
    const attributes = { points: points.map((xy) => at(xy).join(",")).join(" "), class: bold ? "curve bold" : "curve", stroke: colour };
    if (dashes) attributes["stroke-dasharray"] = dashes;
    picture.append(svg("polyline", attributes));
    const [cx, cy] = at(points[Math.min(state.stage, points.length - 1)]);
    picture.append(svg("circle", { cx, cy, r: bold ? 5 : 2.5, fill: colour }));
    names.append(h("li", {}, symbolPicture(symbol, colour), bold ? h("b", {}, meta.purchases[p].name) : meta.purchases[p].name));
  }
  const hint = h("p", { class: "hint" }, "A look is one image shown to the annotator, whatever the answer.");
  place.replaceChildren(h("h2", {}, "What a label cost"), hint, picture, names);
}
