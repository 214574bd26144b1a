// The state in the address, so that a view can be sent: short names, only what departs from the start.

let remembering = 0;

function toHash() {
  const said = new URLSearchParams();
  const start_ = startState();
  const camera = ({ x, y, k, fit }) => [x, y, k / fit].map((value) => Number(value.toPrecision(6))).join(",");
  if (state.by !== start_.by) said.set("by", state.by);
  if (state.pair) said.set("pair", "1");
  if (String(state.space) !== String(start_.space)) said.set("map", state.space.join(","));
  if (String(state.strategy) !== String(start_.strategy)) said.set("by-whom", state.strategy.join(","));
  if (state.names !== start_.names) said.set("names", state.names);
  if (state.stage >= 0) said.set("stage", state.stage);
  if (state.pin >= 0) said.set("pin", state.pin);
  const hidden = Object.entries(state.hidden).filter(([, codes]) => codes.size).map(([by, codes]) => `${by}=${[...codes].sort((a, b) => a - b).join(".")}`);
  if (hidden.length) said.set("hide", hidden.join(";"));
  const ranges = Object.entries(state.ranges).map(([s, range]) => [s, ...range].join("."));
  if (ranges.length) said.set("range", ranges.join(";"));
  if (state.theme) said.set("theme", state.theme);
  panes.slice(0, state.pair ? 2 : 1).forEach((pane, p) => { if (camera(pane.camera) !== "0.5,0.5,1") said.set(`view${p}`, camera(pane.camera)); });
  if (state.selection) {
    const corners = state.selection.corners.map((corner) => corner.map((value) => Math.round(value * 65535).toString(36)).join("."));
    said.set("in", [state.selection.space, ...corners].join("_"));
  }
  return String(said);
}

// Written a little later, once for a whole drag: browsers refuse more than a few hundred changes a minute.
function remember() {
  clearTimeout(remembering);
  remembering = setTimeout(() => {
    const said = toHash();
    try {
      if (said !== location.hash.slice(1)) history.replaceState(null, "", said ? `#${said}` : location.pathname + location.search);
    } catch { /* a frame that may not: links are then made by the button alone */ }
  }, 250);
}

const within = (value, low, high) => (Number.isInteger(value) && value >= low && value <= high ? value : null);

// What an address says; whatever is not of this page is left out.
function fromHash(text) {
  const said = new URLSearchParams(text);
  const found = startState();
  const numbers = (name, most) => (said.get(name) ?? "").split(",").map(Number).map((value) => within(value, 0, most));
  if (colourings().some((one) => one.id === said.get("by"))) found.by = said.get("by");
  found.pair = said.get("pair") === "1";
  for (const [name, key, most] of [["map", "space", meta.spaces.length - 1], ["by-whom", "strategy", meta.purchases.length - 1]]) {
    numbers(name, most).slice(0, 2).forEach((value, p) => { if (said.has(name) && value !== null) found[key][p] = value; });
  }
  if (said.has("stage") && meta.purchases.length) found.stage = within(Number(said.get("stage")), -1, lastStage()) ?? -1;
  if (said.has("pin")) found.pin = within(Number(said.get("pin")), 0, N - 1) ?? -1;
  for (const part of (said.get("hide") ?? "").split(";").filter(Boolean)) {
    const [by, codes = ""] = part.split("=");
    if (colourings().some((one) => one.id === by)) found.hidden[by] = new Set(codes.split(".").map(Number).filter((code) => within(code, 0, 255) !== null));
  }
  if (said.has("names")) found.names = within(Number(said.get("names")), -1, meta.categories.length - 1) ?? found.names;
  for (const part of (said.get("range") ?? "").split(";").filter(Boolean)) {
    const [s, low, high] = part.split(".").map(Number);
    const steps = meta.scores[s]?.steps;
    if (steps && within(low, 0, steps) !== null && within(high, low, steps) !== null) found.ranges[s] = [low, high];
  }
  if (["light", "dark"].includes(said.get("theme"))) found.theme = said.get("theme");
  found.views = [0, 1].map((p) => (said.get(`view${p}`) ?? "").split(",").map(Number)).map((view) => (view.length === 3 && view.every(Number.isFinite) ? view : null));
  const [space, ...corners] = (said.get("in") ?? "").split("_");
  const shape = corners.map((corner) => corner.split(".").map((value) => parseInt(value, 36) / 65535));
  if (shape.length > 2 && shape.flat().every(Number.isFinite) && within(Number(space), 0, meta.spaces.length - 1) !== null) {
    found.selection = { space: Number(space), corners: shape };
  }
  return found;
}
