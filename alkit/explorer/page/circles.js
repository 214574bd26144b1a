// Distance(CL) at one stage: its clusters, circles and picks, as in Figure 3 of its paper, from the run's own features.

const WHAT = meta.colours.kinds; // [name, colour, symbol] of each kind of image

// The circles to be shown beside map p: of its strategy, else of the other map's, else of any; or null.
function circlesShown(p) {
  const wanted = [state.strategy[p], ...state.strategy, ...meta.purchases.keys()];
  const q = wanted.find((at) => Object.keys(meta.purchases[at]?.circles ?? {}).length);
  if (q === undefined || !parsedNow) return null;
  const stages = Object.keys(meta.purchases[q].circles).map(Number);
  const stage = stages.includes(state.stage) ? state.stage : stages[0];
  return { p: q, stage, circles: meta.purchases[q].circles[stage], key: `${q}-${stage}` };
}

function showCircles() {
  const place = $("circles");
  const shown = state.stage > 0 && circlesShown(0);
  const there = shown && shown.stage === state.stage && panes.some((pane) => !pane.element.hidden && state.strategy[pane.p] === shown.p);
  place.hidden = !there;
  if (!there) return place.replaceChildren();
  const { circles, key } = shown;
  const bought = meta.purchases[shown.p];
  const [who, polar, kinds] = ["who", "polar", "kind"].map((name) => arrayOf(`${name}${key}`));
  const clusters = arrayOf(`cluster${key}`);
  let far = 0;
  for (let at = 0; at < who.length; at++) far = Math.max(far, polar[2 * at]);
  const grid = h("div", { class: "clusters" });
  circles.size.forEach((size, k) => {
    const rows = [];
    for (let at = 0; at < who.length; at++) if (clusters[who[at]] === k) rows.push({ i: who[at], r: polar[2 * at] / far, angle: polar[2 * at + 1], kind: kinds[at] });
    grid.append(clusterPicture(circles, k, rows, far));
  });
  const key_ = h("ul", { class: "curves" }, ...WHAT.map(([name, colour, symbol]) => h("li", {}, symbolPicture(symbol, shade(colour)), name)));
  const colour = h("button", { type: "button", class: "quiet", onclick: () => change({ by: "cluster" }) }, "colour the map by cluster");
  place.replaceChildren(h("h2", {}, `${bought.name}, stage ${shown.stage}: inside the circle first`),
    h("p", { class: "hint" }, "How far out a dot lies is its real distance from the middle of its cluster; the angle only spreads the dots. " +
      "The circle goes through the nearest labelled non-iD image, shown beside it. ", colour),
    key_, grid, ...(bought.note ? [h("p", { class: "hint" }, bought.note)] : []));
}

function clusterPicture(circles, k, rows, far) {
  const side = 150;
  const excluded = k === circles.excluded;
  const canvas = h("canvas", { width: 2 * side, height: 2 * side, role: "img",
    "aria-label": `cluster ${k}: ${rows.filter((row) => row.kind === 3).length} bought inside, ${rows.filter((row) => row.kind === 4).length} outside` });
  const context = canvas.getContext("2d");
  context.scale(2, 2);
  const at = (row) => [side / 2 + row.r * 0.47 * side * Math.cos(row.angle), side / 2 - row.r * 0.47 * side * Math.sin(row.angle)];
  for (const row of rows) drawKind(context, ...at(row), row.kind);
  const radius = circles.radius[k];
  if (radius !== null) {
    context.beginPath();
    context.arc(side / 2, side / 2, (radius / far) * 0.47 * side, 0, 2 * Math.PI);
    context.strokeStyle = shade(WHAT[2][1]);
    context.lineWidth = 1.5;
    context.stroke();
  }
  context.fillStyle = theme.text;
  context.fillRect(side / 2 - 4, side / 2 - 0.5, 8, 1);
  context.fillRect(side / 2 - 0.5, side / 2 - 4, 1, 8);
  const nearest = (event) => {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [((event.clientX - box.left) / box.width) * side, ((event.clientY - box.top) / box.height) * side];
    const found = rows.map((row) => [Math.hypot(at(row)[0] - x, at(row)[1] - y), row.i]).sort((a, b) => a[0] - b[0])[0];
    return found && found[0] < 10 ? found[1] : -1;
  };
  canvas.addEventListener("pointermove", (event) => point(nearest(event)));
  canvas.addEventListener("pointerleave", () => point(-1));
  canvas.addEventListener("click", (event) => { const i = nearest(event); if (i >= 0) pin(i); });
  const text = excluded ? "excluded" : radius === null ? `${circles.share[k]} a round, no circle` : `${circles.share[k]} a round`;
  const setter = circles.setter[k] >= 0 ? imageButton(circles.setter[k]) : null;
  setter?.setAttribute("title", `#${circles.setter[k]} draws this circle`);
  return h("figure", { class: excluded ? "excluded" : "", "data-cluster": k },
    h("figcaption", {}, h("b", {}, `${k}`), ` ${count(circles.size[k])}: ${text}`), canvas, setter);
}

function drawKind(context, x, y, kind) {
  context.fillStyle = context.strokeStyle = shade(WHAT[kind][1]);
  context.globalAlpha = kind ? 1 : 0.5;
  context.beginPath();
  if (kind === 2) {
    context.lineWidth = 2;
    context.moveTo(x - 3, y - 3);
    context.lineTo(x + 3, y + 3);
    context.moveTo(x + 3, y - 3);
    context.lineTo(x - 3, y + 3);
    context.stroke();
  } else if (kind === 4) {
    context.moveTo(x, y - 4.5);
    context.lineTo(x + 4.5, y);
    context.lineTo(x, y + 4.5);
    context.lineTo(x - 4.5, y);
    context.closePath();
    context.fill();
  } else {
    context.arc(x, y, kind ? (kind === 3 ? 3.5 : 2.2) : 1.1, 0, 2 * Math.PI);
    context.fill();
  }
  if (kind > 2) {
    context.lineWidth = 1;
    context.strokeStyle = theme.text;
    context.stroke();
  }
  context.globalAlpha = 1;
}
