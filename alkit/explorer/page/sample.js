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

// The card at a point: small, the rest is told when it is pinned. On touch it has a button: there is no click after a hover.
function showCard(i, pane, touch) {
  const card = $("card");
  card.dataset.index = i;
  card.classList.toggle("touch", Boolean(touch));
  const stage = state.stage >= 0 && meta.purchases.length ? stageOf[state.strategy[pane.p]][i] : -1;
  const bought = stage >= 0 ? h("p", { class: "hint" }, stage ? `bought at stage ${stage}` : "in the initial set") : null;
  const more = touch ? h("button", { type: "button", class: "main", onclick: () => pin(i) }, "Pin, show neighbours") : null;
  card.replaceChildren(...[h("div", { class: "head" }, imageOf(i), h("div", {}, h("h2", {}, `Image ${i}`), facts(i))), bought, more].filter(Boolean));
  card.hidden = false;
  placeCard(card, i, pane);
}

// Inside the map, below its menus; of the places around the point the one that covers fewest of what is pinned with its
// neighbours. So it never lies on the details beside the map, nor on the controls around it.
function placeCard(card, i, pane) {
  const box = pane.overlay.getBoundingClientRect();
  const menus = pane.menus.getBoundingClientRect();
  const [w, height, gap] = [card.offsetWidth, card.offsetHeight, 16];
  const room = { left: Math.max(box.left, 0) + 6, top: Math.max(menus.bottom, 0) + 6,
    right: Math.min(box.right, document.documentElement.clientWidth) - 6 - w, bottom: Math.min(box.bottom, window.innerHeight) - 6 - height };
  const kept = (value, low, high) => Math.max(low, Math.min(value, high));
  const onPage = (j) => pane.pixelOf(j).map((value, at) => value + (at ? box.top : box.left));
  const [x, y] = onPage(i);
  const others = state.pin < 0 ? [] : [state.pin, ...neighboursOf(state.pin)].map(onPage);
  const places = [[x - w / 2, y - height - gap], [x - w / 2, y + gap], [x + gap, y - height / 2], [x - w - gap, y - height / 2],
    [room.left, room.bottom], [room.right, room.bottom], [room.left, room.top], [room.right, room.top]]
    .map(([left, top]) => [kept(left, room.left, room.right), kept(top, room.top, room.bottom)]);
  const covers = ([left, top], [px, py], reach) => px > left - reach && px < left + w + reach && py > top - reach && py < top + height + reach;
  const cost = (place) => (covers(place, [x, y], 10) ? 100 : 0) + others.filter((other) => covers(place, other, 6)).length;
  const [left, top] = places.reduce((best, place) => (cost(place) < cost(best) ? place : best));
  Object.assign(card.style, { left: `${left}px`, top: `${top}px` });
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
    ...[boughtList(i)].filter(Boolean),
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
