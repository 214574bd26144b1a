// Histograms of all scores: a drag over one shows the images of that range alone; a tick marks the image looked at.

const BINS = 40;
const histograms = new Map();

function histogram(s) {
  if (!histograms.has(s)) {
    const bins = new Uint32Array(BINS);
    const steps = arrayOf(`score${s}`);
    for (let i = 0; i < N; i++) if (steps[i] !== meta.none.score) bins[Math.min(BINS - 1, Math.floor((BINS * steps[i]) / meta.scores[s].steps))]++;
    histograms.set(s, bins);
  }
  return histograms.get(s);
}

function buildScores() {
  const place = $("scores");
  place.hidden = !meta.scores.length;
  if (place.hidden) return;
  place.append(h("h2", {}, "Scores"), h("p", { class: "hint" }, "Drag over one to see its range alone; click: all."));
  meta.scores.forEach((score, s) => {
    const canvas = h("canvas", { class: "histogram", width: 636, height: 52, tabindex: 0, role: "slider",
      "aria-label": `Range of ${score.key}`, "aria-valuemin": score.low, "aria-valuemax": score.high });
    listenToBrush(canvas, s);
    place.append(h("div", { class: "score", "data-score": s }, h("span", {}, score.key), h("b", {}), canvas));
  });
}

function listenToBrush(canvas, s) {
  const { steps } = meta.scores[s];
  let from = null;
  const stepAt = (event) => {
    const box = canvas.getBoundingClientRect();
    return Math.round(Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * steps);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    from = stepAt(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const to = stepAt(event);
    if (Math.abs(to - from) > steps / 100) setRange(s, [Math.min(from, to), Math.max(from, to)]);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (from !== null && Math.abs(stepAt(event) - from) <= steps / 100) setRange(s, null);
    from = null;
  });
  canvas.addEventListener("pointercancel", () => { from = null; });
  canvas.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const range = (state.ranges[s] ?? [0, steps]).slice();
    if (event.key === "Escape" && state.ranges[s]) setRange(s, null);
    else if (way) {
      const end = event.shiftKey ? 0 : 1;
      range[end] = Math.min(Math.max(range[end] + (way * steps) / BINS, 0), steps);
      setRange(s, [Math.round(Math.min(...range)), Math.round(Math.max(...range))]);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
}

function setRange(s, range) {
  const ranges = { ...state.ranges };
  if (range && (range[0] > 0 || range[1] < meta.scores[s].steps)) ranges[s] = range;
  else delete ranges[s];
  change({ ranges });
}

// The image that is looked at, else the pinned one, in every histogram; heights are square roots: small bars stay seen.
function showScores() {
  const i = state.hover >= 0 ? state.hover : state.pin;
  for (const row of $("scores").querySelectorAll(".score")) {
    const s = Number(row.dataset.score);
    const range = state.ranges[s];
    const said = range ? range.map((step) => readable(valueOf(s, step))).join(" to ") : "all";
    row.querySelector("b").textContent = i >= 0 ? readable(scoreOf(s, i)) : range ? said : "";
    const canvas = row.querySelector("canvas");
    canvas.setAttribute("aria-valuetext", said);
    canvas.setAttribute("aria-valuenow", valueOf(s, range?.[1] ?? meta.scores[s].steps));
    drawHistogram(canvas, s, range, i);
  }
}

function drawHistogram(canvas, s, range, i) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  const bins = histogram(s);
  const most = Math.sqrt(Math.max(...bins));
  const across = (step) => (step / meta.scores[s].steps) * width;
  context.clearRect(0, 0, width, height);
  if (range) {
    context.fillStyle = theme.press;
    context.fillRect(across(range[0]), 0, across(range[1]) - across(range[0]), height);
  }
  bins.forEach((number, at) => {
    const [left, right] = [(at * width) / BINS, ((at + 1) * width) / BINS];
    const outside = range && ((left + right) / 2 < across(range[0]) || (left + right) / 2 > across(range[1]));
    const tall = number ? Math.max(3, ((height - 4) * Math.sqrt(number)) / most) : 0;
    context.fillStyle = state.by === `score:${s}` ? ramp((at + 0.5) / BINS) : range && !outside ? theme.accent : theme.bars;
    context.globalAlpha = outside ? 0.35 : 1;
    context.fillRect(left, height - tall, right - left - 2, tall);
  });
  context.globalAlpha = 1;
  const step = i < 0 ? meta.none.score : arrayOf(`score${s}`)[i];
  if (step === meta.none.score) return;
  context.fillStyle = theme.text;
  context.fillRect(Math.min(across(step), width - 5), 0, 5, height);
}
