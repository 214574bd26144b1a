// One image in words and pictures: the card at the pointer, and the pinned one with its neighbours.

function describe(i) {
  const parts = meta.categories.map((column, c) => `${column.key} ${categoryName(c, i)}`);
  return `image ${i}: ${parts.join(", ")}`;
}

function facts(i) {
  const list = h("dl", { class: "facts" });
  meta.categories.forEach((column, c) => list.append(h("dt", {}, column.key), h("dd", {}, categoryName(c, i))));
  return list;
}

const histograms = new Map();

function histogram(s) {
  if (!histograms.has(s)) {
    const bins = new Uint32Array(40);
    const steps = arrayOf(`score${s}`);
    for (let i = 0; i < N; i++) if (steps[i] !== meta.none.score) bins[Math.min(39, Math.floor((40 * steps[i]) / meta.scores[s].steps))]++;
    histograms.set(s, bins);
  }
  return histograms.get(s);
}

// A score's histogram over the pool with a tick where this image lies. Heights are square roots: small bars stay seen.
function tickedHistogram(s, i) {
  const canvas = h("canvas", { class: "histogram", width: 160, height: 36, "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  const bins = histogram(s);
  const most = Math.sqrt(Math.max(...bins));
  context.fillStyle = theme.bars;
  bins.forEach((number, at) => {
    const height = number ? Math.max(2, (34 * Math.sqrt(number)) / most) : 0;
    context.fillRect(at * 4, 36 - height, 3, height);
  });
  const step = arrayOf(`score${s}`)[i];
  if (step !== meta.none.score) {
    context.fillStyle = theme.text;
    context.fillRect(Math.min(157, (step / meta.scores[s].steps) * 158), 0, 3, 36);
  }
  return canvas;
}

function scoreList(i) {
  if (!meta.scores.length) return null;
  const rows = meta.scores.map((score, s) => h("div", { class: "score" },
    h("span", {}, score.key), tickedHistogram(s, i), h("b", {}, readable(scoreOf(s, i)))));
  return h("div", { class: "scores" }, ...rows);
}

// Who bought it and when, the first first; those who never did, in one line.
function boughtList(i) {
  if (!meta.purchases.length) return null;
  const all = meta.purchases.map((bought, p) => ({ name: bought.name, stage: stageOf[p][i] }));
  const list = h("ul", { class: "bought", "aria-label": "when each strategy bought it" });
  for (const { name, stage } of all.filter((one) => one.stage >= 0).sort((a, b) => a.stage - b.stage)) {
    list.append(h("li", {}, h("span", {}, name), h("b", {}, stage ? `bought at stage ${stage}` : "in the initial set")));
  }
  const never = all.filter((one) => one.stage < 0).map((one) => one.name);
  if (never.length) list.append(h("li", { class: "never" }, `not bought by ${never.length === all.length ? "any strategy" : never.join(", ")}`));
  return list;
}

// The card beside a point; on touch it has a button, because there is no click after a hover.
function showCard(i, pane, touch) {
  const card = $("card");
  card.dataset.index = i;
  card.classList.toggle("touch", Boolean(touch));
  const more = touch ? h("button", { type: "button", class: "main", onclick: () => pin(i) }, "Pin, show neighbours") : null;
  card.replaceChildren(h("div", { class: "head" }, imageOf(i), h("div", {}, h("h2", {}, `Image ${i}`), facts(i))));
  card.append(...[scoreList(i), boughtList(i), more].filter(Boolean));
  card.hidden = false;
  placeCard(card, i, pane);
}

// Above the point, or below where there is no room; always inside the window.
function placeCard(card, i, pane) {
  const box = pane.overlay.getBoundingClientRect();
  const [px, py] = pane.pixelOf(i);
  const [x, y] = [box.left + px, box.top + py];
  const [w, height] = [card.offsetWidth, card.offsetHeight];
  const [right, bottom] = [document.documentElement.clientWidth, window.innerHeight];
  let left = x - w / 2;
  let top = y - height - 18;
  if (top < 6) top = y + 18;
  if (top + height > bottom - 6) { // no room above or below: beside it
    top = Math.max(6, bottom - 6 - height);
    left = x + 20 + w < right ? x + 20 : x - w - 20;
  }
  card.style.left = `${Math.max(6, Math.min(left, right - w - 6))}px`;
  card.style.top = `${top}px`;
}

function hideCard() {
  $("card").hidden = true;
  delete $("card").dataset.index;
}

// The feature space whose neighbours are shown: the first map's, or the first that has any.
function nearSpace() {
  return meta.spaces[state.space[0]].near ? state.space[0] : Math.max(meta.spaces.findIndex((space) => space.near), 0);
}

// Nearest in that feature space, not on the map.
function neighboursOf(i) {
  const { near } = meta.spaces[nearSpace()];
  return near && parsedNow ? [...arrayOf(`near${nearSpace()}`).subarray(i * near, (i + 1) * near)] : [];
}

function showPinned() {
  const place = $("pinned");
  place.hidden = state.pin < 0;
  if (place.hidden) return place.replaceChildren();
  const i = state.pin;
  const near = neighboursOf(i);
  const close = h("button", { type: "button", class: "close", "aria-label": "Unpin", onclick: () => pin(-1) }, "×");
  place.replaceChildren(
    h("h2", {}, `Image ${i}, pinned`, close),
    h("div", { class: "head" }, imageOf(i, { class: "image large" }), facts(i)),
    ...[scoreList(i), boughtList(i)].filter(Boolean),
  );
  if (!near.length) return;
  const head = meta.categories.length ? arrayOf("category0") : null;
  const same = head ? near.filter((j) => head[j] === head[i]).length : 0;
  const summary = head ? ` ${same} of ${near.length} share its ${meta.categories[0].key}.` : "";
  place.append(
    h("h3", {}, `Nearest in the feature space “${meta.spaces[nearSpace()].name}”`),
    h("p", { class: "hint" }, `By cosine, nearest first; on a flat map they may lie far apart.${summary}`),
    h("div", { class: "gallery", id: "neighbours" }, ...near.map((j) => imageButton(j, meta.categories.length ? categoryName(meta.categories.length > 1 ? 1 : 0, j) : ""))),
  );
}
