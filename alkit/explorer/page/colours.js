// Colours: every sample has a code, and a table of 256 colours says what it looks like.

// A colour of the palette as this theme shows it: the dark one has colours of its own.
const shade = (hex) => (theme.dark ? meta.colours.dark[hex] : null) ?? hex;
const grey = () => shade(meta.colours.grey);
const SYMBOL_NUMBERS = { circle: 0, square: 1, diamond: 2, "triangle-up": 3, cross: 4, x: 5, star: 6,
  "triangle-down": 7, hexagon: 8, pentagon: 9 };

function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

function ramp(share) {
  const anchors = meta.colours.ramp;
  const at = Math.min(Math.max(share, 0), 1) * (anchors.length - 1);
  const low = Math.min(Math.floor(at), anchors.length - 2);
  const [a, b] = [rgb(shade(anchors[low])), rgb(shade(anchors[low + 1]))];
  return `#${a.map((v, i) => Math.round(v + (b[i] - v) * (at - low)).toString(16).padStart(2, "0")).join("")}`;
}

// Black or white, whichever reads better on a colour.
function inkOn(hex) {
  const [r, g, b] = rgb(hex).map((value) => (value / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? "black" : "white";
}

// What the points can be coloured by; `category:0`, `score:2`, `stage`, `cluster` (of the stage shown). May be empty.
function colourings() {
  const circles = meta.purchases.some((bought) => Object.keys(bought.circles).length);
  return [
    ...meta.categories.map((column, c) => ({ id: `category:${c}`, label: column.key })),
    ...meta.scores.map((score, s) => ({ id: `score:${s}`, label: score.key })),
    ...(meta.purchases.length ? [{ id: "stage", label: "stage of purchase" }] : []),
    ...(circles ? [{ id: "cluster", label: "cluster at the stage shown" }] : []),
  ];
}

const coloured = new Map(); // of whole columns, which change with the theme alone

// {codes (N), entries: [{name, colour, symbol}], none, scale}: how pane p is coloured.
function colouring(by, p) {
  const [kind, number] = by.split(":");
  if (kind === "stage") return byStage(p);
  if (kind === "cluster") return byCluster(p);
  if (kind === "none") return { codes: new Uint8Array(N).fill(255), entries: [] };
  if (!coloured.has(by)) coloured.set(by, kind === "score" ? byScore(Number(number)) : byCategory(Number(number)));
  return coloured.get(by);
}

function byCategory(c) {
  const { names, colours, symbols } = meta.categories[c];
  const entries = names.map((name, k) => ({ name, colour: shade(colours[k]), symbol: symbols[k] }));
  return { codes: arrayOf(`category${c}`), entries };
}

function byScore(s) {
  const steps = arrayOf(`score${s}`);
  const codes = new Uint8Array(N);
  for (let i = 0; i < N; i++) {
    codes[i] = steps[i] === meta.none.score ? 255 : Math.round((steps[i] / meta.scores[s].steps) * 254);
  }
  const entries = Array.from({ length: 255 }, (_, k) => ({ name: "", colour: ramp(k / 254), symbol: "circle" }));
  return { codes, entries, scale: meta.scores[s] };
}

function byStage(p) {
  const chosen = state.strategy[p] >= 0 ? state.strategy[p] : 0;
  const stages = meta.purchases[chosen].picks.length;
  const codes = Uint8Array.from(stageOf[chosen], (stage) => (stage < 0 ? 255 : stage));
  const name = (k) => (k ? `stage ${k}` : "initial set");
  const entries = Array.from({ length: stages }, (_, k) => (
    { name: name(k), colour: ramp(k / Math.max(stages - 1, 1)), symbol: "circle" }));
  return { codes, entries, none: "not bought", of: meta.purchases[chosen].name };
}

function byCluster(p) {
  const shown = circlesShown(p);
  if (!shown) return { codes: new Uint8Array(N).fill(255), entries: [], none: "no clusters at this stage" };
  const { circles, key } = shown;
  const entries = circles.size.map((_, k) => (k === circles.excluded
    ? { name: `${k}, excluded`, colour: grey(), symbol: "x" } : { name: String(k), colour: shade(meta.colours.clusters.colours[k]), symbol: meta.colours.clusters.symbols[k] }));
  return { codes: arrayOf(`cluster${key}`), entries, of: `${meta.purchases[shown.p].name}, stage ${shown.stage}` };
}

// The small picture of a symbol, for legends.
const SHAPES = {
  circle: "M8 3a5 5 0 1 0 .01 0z", square: "M3.5 3.5h9v9h-9z", diamond: "M8 2l6 6-6 6-6-6z",
  "triangle-up": "M8 2.5l6 10.5h-12z", cross: "M6 2h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
  x: "M3 5l2-2 3 3 3-3 2 2-3 3 3 3-2 2-3-3-3 3-2-2 3-3z",
  star: "M8 1.5l1.9 4.4 4.7.4-3.6 3.1 1.1 4.6-4.1-2.5-4.1 2.5 1.1-4.6-3.6-3.1 4.7-.4z",
  "triangle-down": "M8 13.5l6-10.5h-12z", hexagon: "M8 2l5.2 3v6l-5.2 3-5.2-3v-6z",
  pentagon: "M8 2l5.8 4.3-2.2 6.8h-7.2l-2.2-6.8z", "triangle-left": "M2.5 8l10.5-6v12z",
};

function symbolPicture(symbol, colour) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "symbol");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", SHAPES[symbol] || SHAPES.circle);
  path.setAttribute("fill", colour);
  svg.append(path);
  return svg;
}
