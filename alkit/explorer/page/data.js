// The page's data: `meta` (JSON) and arrays in base64, decoded when they are first asked for.

const meta = JSON.parse(document.getElementById("meta").textContent);
const N = meta.n;
const parsed = new Promise((resolve) => {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => resolve());
  else resolve();
});
const KINDS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array };
const decoded = new Map();

function decodeBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

// The array of a block; its text is given back to the browser, since tens of MB of it would be kept twice.
function arrayOf(name) {
  if (!decoded.has(name)) {
    const block = document.getElementById(name);
    const bytes = decodeBase64(block.textContent);
    decoded.set(name, new KINDS[block.dataset.kind](bytes.buffer));
    block.textContent = "";
  }
  return decoded.get(name);
}

// An element with attributes and children; texts are always text, never markup.
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

const $ = (id) => document.getElementById(id);
const count = (number) => number.toLocaleString("en");
const percent = (share) => `${(100 * share).toFixed(1)} %`;

function say(text) {
  $("said").textContent = text;
}

function scoreOf(s, i) {
  const step = arrayOf(`score${s}`)[i];
  return step === meta.none.score ? NaN : valueOf(s, step);
}

function valueOf(s, step) {
  const { low, high, steps } = meta.scores[s];
  return low + (step / steps) * (high - low);
}

function readable(value) {
  if (Number.isNaN(value)) return "none";
  const size = Math.abs(value);
  return size && (size < 0.001 || size >= 1e5) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

function categoryName(c, i) {
  const code = arrayOf(`category${c}`)[i];
  return code === meta.none.category ? "none" : meta.categories[c].names[code];
}

// stageOf[p][i]: the stage at which strategy p bought image i, or -1.
const stageOf = meta.purchases.map((bought) => {
  const stages = new Int16Array(N).fill(-1);
  bought.picks.forEach((picks, stage) => picks.forEach((i) => { stages[i] = stage; }));
  return stages;
});
