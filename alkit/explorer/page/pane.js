// One map: its menus, its camera, what the pointer, fingers and keys do to it.

// While the map moves, a machine without a GPU draws as many of the points as it can at some 40 frames a second; when
// it rests, all. Where there is a GPU, all are drawn always.
const motion = {
  level: 1, last: 0, timer: 0,
  moved() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { this.timer = 0; redraw(); }, 150);
  },
  share() {
    return this.timer ? this.level : 1;
  },
  frame(now) {
    const spent = now - this.last;
    this.last = now;
    if (!this.timer || spent > 500) return;
    this.level = Math.min(1, Math.max(0.1, this.level * (spent > 26 ? 0.85 : spent < 19 ? 1.04 : 1)));
  },
};

const REACH = 14; // CSS pixels within which a pointer finds a point; a finger, 24
const panes = [];

class Pane {
  constructor(p) {
    this.p = p;
    this.camera = { x: 0.5, y: 0.5, k: 1, fit: 1 };
    this.pointers = new Map();
    this.glide = 1;
    this.canvas = h("canvas", { class: "points", "aria-hidden": "true" });
    this.overlay = h("canvas", { class: "overlay", tabindex: "0", role: "application", "aria-roledescription": "map" });
    this.menus = h("div", { class: "menus" });
    this.menu("space", "Map of", meta.spaces.map((space) => space.name), (value) => glideTo(p, value));
    if (meta.purchases.length) {
      this.menu("strategy", "Bought by", meta.purchases.map((bought) => bought.name),
        (value) => change({ strategy: replaced(state.strategy, p, value) }));
    }
    this.labels = h("div", { class: "labels", "aria-hidden": "true" });
    this.element = h("div", { class: "pane" }, this.menus, this.canvas, this.overlay, this.labels);
    this.points = new Points(this.canvas);
    this.listen();
    new ResizeObserver(() => this.resize()).observe(this.element);
  }

  menu(name, label, options, chosen) {
    const select = h("select", { "aria-label": `${label} (map ${this.p + 1})`, class: name,
      onchange: () => chosen(Number(select.value)) },
      ...options.map((text, value) => h("option", { value }, text)));
    this[name] = select;
    this.menus.append(h("label", {}, h("span", {}, `${label} `), select));
  }

  get xy() {
    return arrayOf(`xy${state.space[this.p]}`);
  }

  resize() {
    const box = this.overlay.getBoundingClientRect();
    if (!box.width || !box.height) return;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const [w, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
    if (this.canvas.width !== w || this.canvas.height !== height) {
      for (const canvas of [this.canvas, this.overlay]) Object.assign(canvas, { width: w, height });
    }
    Object.assign(this, { w: box.width, h: box.height, ratio });
    const zoom = this.camera.k / this.camera.fit;
    this.camera.fit = 0.9 * Math.min(this.w, this.h - 24);
    this.camera.k = zoom * this.camera.fit;
    this.draw(); // at once: a resized canvas is empty until it is drawn
  }

  // Pixel of a point in the unit square, and back.
  pixel(x, y) {
    const { camera } = this;
    return [this.w / 2 + (x - camera.x) * camera.k, this.h / 2 + 12 - (y - camera.y) * camera.k];
  }

  place(px, py) {
    const { camera } = this;
    return [camera.x + (px - this.w / 2) / camera.k, camera.y - (py - this.h / 2 - 12) / camera.k];
  }

  pixelOf(i) {
    return this.pixel(this.xy[2 * i] / 65535, this.xy[2 * i + 1] / 65535);
  }

  // The nearest point that is shown, within `reach` pixels, or -1. All of 100,000 are looked at, in under a millisecond.
  nearest(px, py, reach) {
    const [x, y] = this.place(px, py).map((value) => value * 65535);
    const { xy, points } = this;
    let [best, found] = [((reach / this.camera.k) * 65535) ** 2, -1];
    for (let i = 0; i < N; i++) {
      const [dx, dy] = [xy[2 * i] - x, xy[2 * i + 1] - y];
      const distance = dx * dx + dy * dy;
      if (distance <= best && points.marks[i] !== HIDDEN) [best, found] = [distance, i];
    }
    return found;
  }

  // The next point from pixel (px, py) into a direction, within a quarter turn: for arrow keys.
  towards(from, dx, dy) {
    const [x, y] = from < 0 ? this.place(this.w / 2, this.h / 2) : [this.xy[2 * from] / 65535, this.xy[2 * from + 1] / 65535];
    let [best, found] = [Infinity, from];
    for (let i = 0; i < N; i++) {
      if (i === from || this.points.marks[i] === HIDDEN) continue;
      const [ax, ay] = [this.xy[2 * i] / 65535 - x, this.xy[2 * i + 1] / 65535 - y];
      const [along, across] = [ax * dx + ay * dy, Math.abs(ax * dy - ay * dx)];
      if (along > 0 && across <= along && along + across < best) [best, found] = [along + across, i];
    }
    return found;
  }

  look(x, y, k) {
    const { camera } = this;
    camera.k = Math.min(Math.max(k, camera.fit * 0.5), camera.fit * 200);
    camera.x = Math.min(Math.max(x, -0.5), 1.5);
    camera.y = Math.min(Math.max(y, -0.5), 1.5);
    for (const other of panes) {
      if (other === this || state.space[other.p] !== state.space[this.p] || !state.pair) continue;
      other.camera = { ...camera, fit: other.camera.fit, k: (camera.k / camera.fit) * other.camera.fit };
    }
    motion.moved();
    redraw();
    remember();
  }

  zoom(factor, px = this.w / 2, py = this.h / 2) {
    const [x, y] = this.place(px, py);
    const k = Math.min(Math.max(this.camera.k * factor, this.camera.fit * 0.5), this.camera.fit * 200);
    const share = this.camera.k / k;
    this.look(x + (this.camera.x - x) * share, y + (this.camera.y - y) * share, k);
  }

  shift(dx, dy) {
    this.look(this.camera.x - dx / this.camera.k, this.camera.y + dy / this.camera.k, this.camera.k);
  }

  whole() {
    this.look(0.5, 0.5, this.camera.fit);
  }

  bringIntoView(i) {
    const [px, py] = this.pixelOf(i);
    if (px < 20 || py < 40 || px > this.w - 20 || py > this.h - 20) {
      this.look(this.xy[2 * i] / 65535, this.xy[2 * i + 1] / 65535, this.camera.k);
    }
  }

  listen() {
    const { overlay } = this;
    const where = (event) => { const box = overlay.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    overlay.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      overlay.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, where(event));
      this.moved = 0;
      if (this.pointers.size === 1 && (state.tool !== "move" || event.shiftKey)) startDrawing(this, ...where(event), event.shiftKey);
      else if (this.pointers.size > 1) stopDrawing();
    });
    overlay.addEventListener("pointermove", (event) => {
      const [px, py] = where(event);
      const last = this.pointers.get(event.pointerId);
      if (!last) return event.pointerType === "touch" ? undefined : this.hover(px, py);
      this.moved += Math.hypot(px - last[0], py - last[1]);
      if (drawing) drawTo(px, py);
      else if (this.pointers.size > 1) this.pinch(event.pointerId, px, py);
      else if (this.moved > 3) this.shift(px - last[0], py - last[1]);
      this.pointers.set(event.pointerId, [px, py]);
    });
    overlay.addEventListener("pointerup", (event) => {
      const tap = this.pointers.delete(event.pointerId) && !this.pointers.size && this.moved < 6;
      const drawn = drawing && finishDrawing();
      if (tap && !drawn) this.tap(...where(event), event.pointerType === "touch");
    });
    overlay.addEventListener("pointercancel", (event) => { this.pointers.delete(event.pointerId); stopDrawing(); });
    overlay.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") point(-1); });
    overlay.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), ...where(event));
    }, { passive: false });
    overlay.addEventListener("keydown", (event) => { if (paneKey(this, event)) event.preventDefault(); });
    overlay.addEventListener("blur", (event) => { if (!$("card").contains(event.relatedTarget)) point(-1); });
  }

  hover(px, py) {
    this.pointer = [px, py];
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      point(this.nearest(...this.pointer, REACH), this);
    });
  }

  tap(px, py, finger) {
    const i = this.nearest(px, py, finger ? 24 : REACH);
    if (finger && i >= 0 && state.hover !== i) point(i, this, true); // the first tap shows, the second pins
    else pin(i);
  }

  pinch(id, px, py) {
    const [other] = [...this.pointers].filter(([key]) => key !== id).map(([, at]) => at);
    const last = this.pointers.get(id);
    const [before, after] = [last, [px, py]].map(([x, y]) => Math.hypot(x - other[0], y - other[1]));
    this.shift((px - last[0]) / 2, (py - last[1]) / 2);
    this.zoom(after / Math.max(before, 1), (px + other[0]) / 2, (py + other[1]) / 2);
  }

  draw() {
    if (!this.w || this.element.hidden || !this.points.marks) return;
    this.points.draw({ ...this.camera, y: this.camera.y + 12 / this.camera.k }, this.glide, this.ratio, motion.share());
    drawOverlay(this);
    placeLabels(this);
  }
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const TOOLS = { m: "move", l: "lasso", b: "box" };

// What a key does on a map; true where it did something.
function paneKey(pane, event) {
  const { key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  if (ARROWS[key] && event.shiftKey) pane.shift(-60 * ARROWS[key][0], 60 * ARROWS[key][1]);
  else if (ARROWS[key]) {
    const next = pane.towards(state.hover >= 0 ? state.hover : state.pin, ...ARROWS[key]);
    if (next >= 0) { pane.bringIntoView(next); point(next, pane); say(describe(next)); }
  } else if (key === "Enter" || key === " ") { if (state.hover >= 0) pin(state.hover); }
  else if (key === "+" || key === "=") pane.zoom(1.5);
  else if (key === "-") pane.zoom(1 / 1.5);
  else if (key === "0") pane.whole();
  else if (TOOLS[key.toLowerCase()]) change({ tool: TOOLS[key.toLowerCase()] });
  else if (key.toLowerCase() === "v") selectView(pane);
  else return false;
  return true;
}
