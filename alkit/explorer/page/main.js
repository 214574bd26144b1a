// The state of the page and what follows from it. `change` is the one way to alter it.

const HELP = [
  "Each dot is one image. Dots lie near each other where the network finds the images alike; trust groups, not gaps: two dimensions cannot hold a hundred.",
  "Hover a dot to see its image, click to pin it: its true neighbours appear. Click a name in the legend to hide it, “only” to see it alone.",
  "Find takes a name or a number. Dragging over a histogram of a score shows the images of that range alone; with keys, arrows move its upper end, Shift and arrows its lower end, Escape lets go.",
  "Wheel, pinch or + and − zoom, dragging moves. Lasso and Box (or Shift and drag) count what lies inside; key V takes all in view.",
  "Keys on a map: arrows go from image to image, Enter pins, Escape lets go, Shift and arrows move, 0 shows all. On touch, tap to look, tap again to pin.",
];
const THEMES = ["", "light", "dark"];
let parsedNow = false;
let frame = 0;
let theme = {};

function startState() {
  const wanted = meta.purchases.findIndex((bought) => Object.keys(bought.circles).length);
  const first = Math.max(wanted, 0);
  return {
    by: colourings()[0]?.id ?? "none", names: Math.min(1, meta.categories.length - 1), pair: false, space: [0, 0],
    strategy: [first, first ? first - 1 : Math.min(1, meta.purchases.length - 1)], stage: -1, pin: -1, hover: -1, hidden: {}, ranges: {},
    tool: "move", selection: null, members: null, theme: "", notice: "", found: null,
  };
}

let state = null;

const replaced = (array, at, value) => array.map((old, i) => (i === at ? value : old));

function readTheme() {
  document.documentElement.dataset.theme = state.theme;
  const before = theme.dark;
  theme = Object.fromEntries(["ground", "text", "accent", "press", "bars", "wash"].map((name) => [name, css(`--${name}`)]));
  theme.dark = css("--dark") === "1";
  if (theme.dark !== before) coloured.clear();
  const faint = Number(css("--faint"));
  for (const pane of panes) pane.points.faint = N > 20000 ? faint * 0.6 : faint;
}

// 1 where a legend entry, of any category or of the colouring shown, or the range of a score hides a sample on map p.
function hiddenMarks(p) {
  const gone = new Uint8Array(N);
  for (const [by, hidden] of Object.entries(state.hidden)) {
    if (!hidden.size || (!by.startsWith("category") && by !== state.by)) continue;
    const { codes } = colouring(by, p);
    for (let i = 0; i < N; i++) if (hidden.has(codes[i])) gone[i] = 1;
  }
  for (const [s, [low, high]] of Object.entries(state.ranges)) {
    const steps = arrayOf(`score${s}`);
    for (let i = 0; i < N; i++) if (steps[i] < low || steps[i] > high) gone[i] = 1;
  }
  return gone;
}

function marksOf(p) {
  const gone = hiddenMarks(p);
  const marks = new Uint8Array(N).fill(PLAIN);
  const bought = state.stage >= 0 ? stageOf[state.strategy[p]] : null;
  if (state.members) {
    marks.fill(FAINT);
    for (const i of state.members) marks[i] = CHOSEN;
  }
  for (let i = 0; i < N; i++) {
    if (bought && bought[i] >= 0 && bought[i] <= state.stage) marks[i] = bought[i] === state.stage ? NOW : BEFORE;
    else if (bought && !state.members) marks[i] = FAINT;
    if (gone[i]) marks[i] = HIDDEN;
  }
  return marks;
}

function change(changes) {
  Object.assign(state, { notice: "" }, changes);
  if (state.selection) state.members = membersOf(state.selection);
  show();
  remember();
}

// Everything that depends on the state, save what only moves with the pointer.
function show() {
  readTheme();
  panes[1].element.hidden = !state.pair;
  for (const pane of panes) {
    if (pane.element.hidden) continue;
    pane.resize();
    pane.space.value = state.space[pane.p];
    if (pane.strategy) pane.strategy.value = state.strategy[pane.p];
    if (pane.glide === 1) pane.points.place(pane.xy, pane.xy);
    const { codes, entries } = colouring(state.by, pane.p);
    pane.points.colour(codes, entries);
    pane.points.mark(marksOf(pane.p));
    makeLabels(pane);
    pane.overlay.setAttribute("aria-label", `Map of ${meta.spaces[state.space[pane.p]].name}, ${count(pane.points.drawn)} images shown. Arrow keys go from image to image, Enter pins.`);
  }
  $("by").value = state.by;
  $("names").value = state.names;
  $("pair").setAttribute("aria-pressed", String(state.pair));
  for (const tool of ["move", "lasso", "box"]) $(tool).setAttribute("aria-pressed", String(state.tool === tool));
  $("theme").textContent = `Theme: ${state.theme || "auto"}`;
  $("panes").dataset.tool = state.tool;
  showLegend();
  showScores();
  showCounts();
  showFound();
  showStages();
  if (parsedNow) {
    showPinned();
    showSelection();
    showCircles();
  }
  redraw();
}

function redraw() {
  frame ||= requestAnimationFrame((now) => { frame = 0; motion.frame(now); for (const pane of panes) pane.draw(); });
}

function redrawAll() {
  if (state) show();
}

// Look at image i, from map `pane` (with a card) or from elsewhere (rings only); -1: at none.
function point(i, pane = null, touch = false) {
  if (i === state.hover && (i < 0 || i === state.pin || $("card").dataset.index === String(i) || !pane)) return;
  state.hover = i;
  if (i >= 0 && pane && i !== state.pin) showCard(i, pane, touch); // the pinned one is told beside the map
  else hideCard();
  showScores();
  redraw();
}

function pin(i) {
  hideCard();
  state.hover = -1;
  state.pin = i === state.pin ? -1 : i;
  showPinned();
  showScores();
  showFound();
  redraw();
  remember();
  if (state.pin >= 0) say(`pinned ${describe(i)}`);
}

// Let map p's points glide from where they are to another projection. A second map that is not seen goes along: side by
// side, the same map is shown twice until one is changed.
function glideTo(p, space) {
  const pane = panes[p];
  const before = pane.xy;
  state.space = state.pair ? replaced(state.space, p, space) : [space, space];
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  pane.glide = still ? 1 : 0;
  pane.points.place(before, pane.xy);
  hideCard();
  change({ hover: -1 });
  const from = performance.now();
  const step = (now) => {
    if (state.space[p] !== space) return;
    const share = Math.min((now - from) / 900, 1);
    pane.glide = share < 1 ? share * share * (3 - 2 * share) : 1;
    pane.draw();
    if (share < 1) requestAnimationFrame(step);
    else show();
  };
  if (!still) requestAnimationFrame(step);
}

// Show what an address says.
function openView(text) {
  stop();
  state = fromHash(text);
  panes.forEach((pane, p) => {
    pane.glide = 1;
    const [x, y, zoom] = state.views[p] ?? [0.5, 0.5, 1];
    Object.assign(pane.camera, { x, y, k: zoom * pane.camera.fit });
  });
  if (state.selection) state.members = membersOf(state.selection);
  show();
}

const restore = () => openView(location.hash.slice(1));

function build() {
  $("about").textContent = meta.about;
  state = startState();
  for (const { id, label } of colourings()) $("by").append(h("option", { value: id }, label));
  $("by").parentElement.hidden = !colourings().length;
  $("names").append(h("option", { value: -1 }, "nothing"), ...meta.categories.map(({ key }, value) => h("option", { value }, key)));
  $("names").parentElement.hidden = !meta.categories.length;
  const names = new Set(meta.categories.flatMap((column) => column.names));
  $("known").append(...[...names].map((value) => h("option", { value })));
  $("start-tour").hidden = !meta.tour.length;
  $("help").append(h("h2", {}, "How to read this page"), ...HELP.map((text) => h("p", {}, text)));
  buildStages();
  buildScores();
  for (const p of [0, 1]) {
    panes.push(new Pane(p));
    $("panes").append(panes[p].element);
  }
  $("by").addEventListener("change", () => change({ by: $("by").value }));
  $("names").addEventListener("change", () => change({ names: Number($("names").value) }));
  $("start-tour").addEventListener("click", () => goTo(0));
  for (const tool of ["move", "lasso", "box"]) $(tool).addEventListener("click", () => change({ tool }));
  $("closer").addEventListener("click", () => panes[0].zoom(1.5));
  $("farther").addEventListener("click", () => panes[0].zoom(1 / 1.5));
  $("whole").addEventListener("click", () => panes.forEach((pane) => pane.whole()));
  $("pair").addEventListener("click", () => change({ pair: !state.pair }));
  $("theme").addEventListener("click", () => change({ theme: THEMES[(THEMES.indexOf(state.theme) + 1) % 3] }));
  $("share").addEventListener("click", () => copyText(`${location.href.split("#")[0]}#${toHash()}`, "the link to this view"));
  $("search").addEventListener("submit", (event) => { event.preventDefault(); find($("query").value); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show());
  window.addEventListener("hashchange", restore);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (drawing) stopDrawing();
    else if (state.hover >= 0) point(-1);
    else if (state.pin >= 0) pin(-1);
    else if (state.selection) select(null);
    else if (tourStep >= 0) goTo(meta.tour.length);
  });
  restore();
}

try {
  build();
  document.body.dataset.painted = Math.round(performance.now());
  parsed.then(() => {
    parsedNow = true;
    restore();
    document.body.dataset.ready = Math.round(performance.now());
  });
} catch (error) {
  $("panes").replaceChildren(h("p", { class: "trouble" }, error.message));
  throw error;
}
