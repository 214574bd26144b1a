// A selection: drawn with a lasso or a box, counted, sampled in a gallery, copied or saved.

const GALLERY = 24;
let drawing = null; // {pane, tool, corners}: what the pointer is drawing now

function startDrawing(pane, px, py, quick) {
  drawing = { pane, tool: quick ? "lasso" : state.tool, corners: [pane.place(px, py)], last: [px, py] };
  point(-1);
}

function drawTo(px, py) {
  const { pane, corners, last } = drawing;
  if (drawing.tool === "box") {
    const [[x, y], [right, top]] = [corners[0], pane.place(px, py)];
    drawing.corners = [[x, y], [right, y], [right, top], [x, top]];
  } else if (Math.hypot(px - last[0], py - last[1]) > 4) {
    corners.push(pane.place(px, py));
    drawing.last = [px, py];
  }
  redraw();
}

function stopDrawing() {
  drawing = null;
  redraw();
}

// Whether there was something drawn; corners are kept in 16-bit steps, as the coordinates are, so that links say it all.
function finishDrawing() {
  const { pane, corners } = drawing;
  drawing = null;
  if (corners.length < 3) return false;
  const rounded = corners.map((corner) => corner.map((value) => Math.round(value * 65535) / 65535));
  select({ space: state.space[pane.p], corners: rounded });
  return true;
}

function selectView(pane) {
  const [left, top] = pane.place(0, 24);
  const [right, bottom] = pane.place(pane.w, pane.h);
  const corners = [[left, top], [right, top], [right, bottom], [left, bottom]];
  select({ space: state.space[pane.p], corners: corners.map((corner) => corner.map((value) => Math.round(value * 65535) / 65535)) });
}

// Members are those inside that are shown now: hidden ones are not selected behind one's back.
function select(selection) {
  state.selection = selection;
  state.members = selection && membersOf(selection);
  change({});
  if (selection) say(`${state.members.length} images selected`);
}

function membersOf({ space, corners }) {
  const xy = arrayOf(`xy${space}`);
  const gone = hiddenMarks(0);
  const shape = corners.map((corner) => corner.map((value) => value * 65535));
  const members = [];
  for (let i = 0; i < N; i++) if (!gone[i] && insideOf(shape, xy[2 * i], xy[2 * i + 1])) members.push(i);
  return members;
}

// By the number of edges that a ray to the right crosses.
function insideOf(corners, x, y) {
  let inside = false;
  for (let a = 0, b = corners.length - 1; a < corners.length; b = a++) {
    const [[ax, ay], [bx, by]] = [corners[a], corners[b]];
    if ((ay > y) !== (by > y) && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}

function showSelection() {
  const place = $("selection");
  place.hidden = !state.selection;
  if (place.hidden) return place.replaceChildren();
  const { members } = state;
  const close = h("button", { type: "button", class: "close", "aria-label": "Clear the selection", onclick: () => select(null) }, "×");
  place.replaceChildren(h("h2", {}, `${count(members.length)} selected`, close));
  if (!members.length) return place.append(h("p", { class: "hint" }, "No image that is shown lies inside."));
  meta.categories.forEach((column, c) => place.append(countTable(column, c, members)));
  const gallery = h("div", { class: "gallery", id: "members" });
  const again = h("button", { type: "button", id: "resample", onclick: () => fill(gallery, members) }, "Resample");
  const copy = h("button", { type: "button", id: "copy", onclick: () => copyText(csv(members), "the list") }, "Copy CSV");
  const save = h("button", { type: "button", id: "download", onclick: () => download(csv(members)) }, "Download CSV");
  again.hidden = members.length <= GALLERY;
  place.append(h("div", { class: "actions" }, again, copy, save), gallery);
  fill(gallery, members);
}

function countTable(column, c, members) {
  const codes = arrayOf(`category${c}`);
  const numbers = new Map();
  for (const i of members) numbers.set(codes[i], (numbers.get(codes[i]) ?? 0) + 1);
  const rows = [...numbers].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, 12);
  const most = rows[0][1];
  const own = state.by === `category:${c}`; // colours mean what they mean on the map, in one table alone
  const list = h("ul", { class: "counts", "data-column": column.key });
  for (const [code, number] of rows) {
    const none = code === meta.none.category;
    const fill_ = h("span", { class: "fill" });
    fill_.style.width = `${(100 * number) / most}%`;
    fill_.style.background = !own ? "var(--bars)" : none ? grey() : shade(column.colours[code]);
    list.append(h("li", { "data-count": number }, h("span", { class: "name" }, none ? "none" : column.names[code]),
      h("span", { class: "track" }, fill_), h("b", {}, count(number))));
  }
  return h("div", {}, h("h3", {}, column.key), list);
}

function fill(gallery, members) {
  const drawn = members.slice();
  for (let at = 0; at < Math.min(GALLERY, drawn.length); at++) { // the first steps of a Fisher-Yates shuffle
    const other = at + Math.floor(Math.random() * (drawn.length - at));
    [drawn[at], drawn[other]] = [drawn[other], drawn[at]];
  }
  gallery.replaceChildren(...drawn.slice(0, GALLERY).map((i) => imageButton(i)));
}

function csv(members) {
  const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const head = ["index", ...meta.categories.map((column) => column.key)].map(quoted).join(",");
  const rows = members.map((i) => [String(i), ...meta.categories.map((_, c) => quoted(categoryName(c, i)))].join(","));
  return `${[head, ...rows].join("\n")}\n`;
}

function download(text) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  h("a", { href: address, download: "selection.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

async function copyText(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // no permission, as in some frames: the old way
    const area = h("textarea", {});
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  notice(`copied ${what}`);
}
