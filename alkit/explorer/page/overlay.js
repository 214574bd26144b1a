// What lies over the points: rings, lines to neighbours, the lasso. Drawn in two dimensions, at every frame.

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function ring(context, pane, i, radius, colour, width = 2) {
  const [x, y] = pane.pixelOf(i);
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.lineWidth = width + 2;
  context.strokeStyle = theme.ground;
  context.stroke();
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.stroke();
}

function line(context, pane, i, j, colour) {
  context.beginPath();
  context.moveTo(...pane.pixelOf(i));
  context.lineTo(...pane.pixelOf(j));
  context.lineWidth = 1.5;
  context.strokeStyle = colour;
  context.stroke();
}

function drawOverlay(pane) {
  const context = pane.overlay.getContext("2d");
  context.setTransform(pane.ratio, 0, 0, pane.ratio, 0, 0);
  context.clearRect(0, 0, pane.w, pane.h);
  drawPolygon(context, pane);
  if (pane.glide < 1) return; // points are on their way: what hangs on them waits
  if (state.stage >= 0) drawNow(context, pane);
  if (state.pin >= 0) {
    const near = neighboursOf(state.pin);
    for (const j of near) line(context, pane, state.pin, j, theme.text);
    for (const j of near) ring(context, pane, j, 5, theme.text, 1.5);
    ring(context, pane, state.pin, 9, theme.text, 2.5);
  }
  if (state.hover >= 0) {
    if (state.pin >= 0 && neighboursOf(state.pin).includes(state.hover)) line(context, pane, state.pin, state.hover, theme.text);
    ring(context, pane, state.hover, 8, theme.text);
  }
}

// Circles around what was bought at this very stage: filled points alone are hard to find among 100,000. They have the
// colour of the point: the colour of text is left for what is looked at, pinned, or its neighbour.
function drawNow(context, pane) {
  const bought = meta.purchases[state.strategy[pane.p]];
  const picks = bought?.picks[state.stage] ?? [];
  if (picks.length > 200) return;
  const { codes, entries } = pane.points;
  for (const i of picks) {
    if (pane.points.marks[i] !== HIDDEN) ring(context, pane, i, pointSize(pane.camera) * 1.1 + 3, entries[codes[i]]?.colour ?? grey(), 2);
  }
}

function drawPolygon(context, pane) {
  const shape = drawing?.pane === pane ? drawing.corners
    : state.selection && state.selection.space === state.space[pane.p] && pane.glide === 1 ? state.selection.corners : null;
  if (!shape || shape.length < 2) return;
  context.beginPath();
  for (const [x, y] of shape) context.lineTo(...pane.pixel(x, y));
  context.closePath();
  context.fillStyle = theme.wash;
  context.fill();
  context.setLineDash([5, 4]);
  context.lineWidth = 1.5;
  context.strokeStyle = theme.text;
  context.stroke();
  context.setLineDash([]);
}
