// The legend: what the colours mean, and the switch of every entry.

function hiddenOf(by) {
  if (!state.hidden[by]) state.hidden[by] = new Set();
  return state.hidden[by];
}

function toggle(code) {
  const hidden = hiddenOf(state.by);
  if (!hidden.delete(code)) hidden.add(code);
  change({});
}

// Show this entry alone, or all again where it is alone already.
function isolate(by, codes, all) {
  const hidden = hiddenOf(by);
  const alone = all.every((code) => codes.includes(code) !== hidden.has(code));
  hidden.clear();
  if (!alone) all.filter((code) => !codes.includes(code)).forEach((code) => hidden.add(code));
  change({});
}

function legendRows(made) {
  const numbers = new Uint32Array(256);
  for (let i = 0; i < N; i++) numbers[made.codes[i]]++;
  const rows = made.entries.map((entry, code) => ({ ...entry, code, number: numbers[code] }));
  if (numbers[255]) rows.push({ name: made.none || "none", colour: grey(), symbol: "circle", code: 255, number: numbers[255] });
  return rows;
}

function showLegend() {
  const place = $("legend");
  const at = document.activeElement?.closest?.("#legend [data-code]");
  const focus = at && [at.dataset.code, at.className];
  const scrolled = place.querySelector(".rows")?.scrollTop ?? 0;
  place.hidden = !colourings().length;
  if (place.hidden) return;
  const label = colourings().find((one) => one.id === state.by).label;
  const made = colouring(state.by, 0);
  const reset = h("button", { type: "button", class: "quiet", id: "show-all", onclick: showAll }, "Show all");
  reset.hidden = !Object.values(state.hidden).some((codes) => codes.size) && !Object.keys(state.ranges).length;
  place.replaceChildren(h("h2", {}, label, reset));
  if (made.of) place.append(h("p", { class: "hint" }, made.of));
  if (made.scale) return place.append(scaleLegend(made.scale));
  const rows = legendRows(made);
  const all = rows.map((row) => row.code);
  const hidden = hiddenOf(state.by);
  const list = h("ul", { class: rows.length > 14 ? "two" : "" });
  for (const row of rows) {
    const shown = !hidden.has(row.code);
    list.append(h("li", {},
      h("button", { type: "button", class: "entry", "aria-pressed": String(shown), "data-code": row.code,
        title: shown ? "Hide" : "Show", onclick: () => toggle(row.code), ondblclick: () => isolate(state.by, [row.code], all) },
        symbolPicture(row.symbol, row.colour), h("span", { class: "name" }, row.name), h("span", { class: "number" }, count(row.number))),
      h("button", { type: "button", class: "only quiet", "data-code": row.code, "aria-label": `Show only ${row.name}`,
        onclick: () => isolate(state.by, [row.code], all) }, "only")));
  }
  const scroller = h("div", { class: "rows" }, list); // of 200 classes, that the pinned image stays in sight below
  place.append(scroller);
  scroller.scrollTop = scrolled;
  if (focus) [...place.querySelectorAll(`[data-code="${focus[0]}"]`)].find((one) => one.className === focus[1])?.focus({ preventScroll: true });
}

function scaleLegend(scale) {
  const canvas = h("canvas", { class: "ramp", width: 256, height: 1, role: "img",
    "aria-label": `colours from ${readable(scale.low)} to ${readable(scale.high)}` });
  const context = canvas.getContext("2d");
  for (let at = 0; at < 256; at++) {
    context.fillStyle = ramp(at / 255);
    context.fillRect(at, 0, 1, 1);
  }
  return h("div", { class: "scale" }, canvas, h("div", {}, h("span", {}, readable(scale.low)), h("span", {}, readable(scale.high))));
}

function notice(text) {
  state.notice = text;
  showCounts();
  say(text);
}

function showCounts() {
  const shown = panes[0].points.drawn;
  const text = shown === N ? `${count(N)} images` : `${count(shown)} of ${count(N)} images`;
  $("counts").textContent = state.notice ? `${text}; ${state.notice}` : text;
}
