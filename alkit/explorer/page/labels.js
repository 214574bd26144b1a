// Names of groups on the map: each stands where its images lie thickest, the largest first, none on another.

const GRID = 32; // cells along a side of the map, in which images are counted
const MOST_LABELS = 40;

// {name, x, y} (in the unit square) of every group of the column whose names are shown, the largest first.
function groupHomes(pane) {
  if (state.names < 0) return [];
  const { names } = meta.categories[state.names];
  const codes = arrayOf(`category${state.names}`);
  const { xy, points } = pane;
  const counts = names.map(() => new Uint32Array(GRID * GRID));
  const cell = (value) => Math.min(GRID - 1, Math.floor((value * GRID) / 65536));
  const shown = (i) => points.marks[i] !== HIDDEN && codes[i] !== meta.none.category;
  for (let i = 0; i < N; i++) if (shown(i)) counts[codes[i]][cell(xy[2 * i + 1]) * GRID + cell(xy[2 * i])]++;
  const homes = counts.map((numbers, code) => ({ ...thickest(numbers), name: names[code], number: numbers.reduce((a, b) => a + b, 0), x: 0, y: 0, here: 0 }));
  for (let i = 0; i < N; i++) { // the mean of the images in and around the thickest cell
    const home = shown(i) ? homes[codes[i]] : null;
    if (!home || Math.abs(cell(xy[2 * i]) - home.column) > 1 || Math.abs(cell(xy[2 * i + 1]) - home.row) > 1) continue;
    home.x += xy[2 * i] / 65535;
    home.y += xy[2 * i + 1] / 65535;
    home.here++;
  }
  return homes.filter((home) => home.number).sort((a, b) => b.number - a.number).slice(0, MOST_LABELS)
    .map(({ name, x, y, here }) => ({ name, x: x / here, y: y / here }));
}

// The cell that holds most with the eight around it.
function thickest(numbers) {
  let [best, found] = [-1, { column: 0, row: 0 }];
  for (let row = 0; row < GRID; row++) {
    for (let column = 0; column < GRID; column++) {
      let sum = 0;
      for (let y = Math.max(0, row - 1); y <= Math.min(GRID - 1, row + 1); y++) {
        for (let x = Math.max(0, column - 1); x <= Math.min(GRID - 1, column + 1); x++) sum += numbers[y * GRID + x];
      }
      if (sum > best) [best, found] = [sum, { column, row }];
    }
  }
  return found;
}

function makeLabels(pane) {
  pane.homes = groupHomes(pane);
  pane.labels.replaceChildren(...pane.homes.map(({ name }) => h("span", {}, name)));
  [...pane.labels.children].forEach((span, at) => Object.assign(pane.homes[at], { span, w: span.offsetWidth, h: span.offsetHeight }));
}

// At every frame: each label at its group, unless it would lie on a larger group's, on the menus or outside.
function placeLabels(pane) {
  const { menus } = pane;
  const taken = [{ left: menus.offsetLeft, top: 0, right: menus.offsetLeft + menus.offsetWidth, bottom: menus.offsetTop + menus.offsetHeight }];
  for (const { span, x, y, w, h: height } of pane.homes ?? []) {
    const [px, py] = pane.pixel(x, y);
    const box = { left: px - w / 2, top: py - height / 2, right: px + w / 2, bottom: py + height / 2 };
    const free = pane.glide === 1 && box.left > 0 && box.right < pane.w && box.top > 0 && box.bottom < pane.h
      && taken.every((one) => box.left > one.right || box.right < one.left || box.top > one.bottom || box.bottom < one.top);
    span.style.visibility = free ? "visible" : "hidden";
    span.style.transform = `translate(${box.left}px, ${box.top}px)`;
    if (free) taken.push(box);
  }
}
