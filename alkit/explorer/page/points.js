// The points of one map, drawn by WebGL 2: positions glide from one projection to another, colours come from a table.

const VERTEX = `#version 300 es
in vec2 before, after; in float code; in float mark;
uniform vec2 scale, shift; uniform float glide, size; uniform float sizes[5]; uniform float opacities[5];
uniform sampler2D colours;
out vec4 colour; flat out float symbol;
void main() {
  vec4 entry = texelFetch(colours, ivec2(int(code), 0), 0);
  gl_Position = vec4(mix(before, after, glide) * scale + shift, 0.0, 1.0);
  int m = int(mark);
  gl_PointSize = max(1.0, size * sizes[m]);
  colour = vec4(entry.rgb, opacities[m]);
  symbol = gl_PointSize >= 6.0 ? floor(entry.a * 255.0 + 0.5) : gl_PointSize >= 3.0 ? 0.0 : -1.0; // too small for a shape
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 colour; flat in float symbol; out vec4 drawn;
void main() {
  vec2 p = (gl_PointCoord - 0.5) * 2.0; vec2 a = abs(p);
  bool inside = true;
  if (symbol == 0.0) inside = dot(p, p) < 0.85;
  else if (symbol == 1.0) inside = max(a.x, a.y) < 0.78;
  else if (symbol == 2.0) inside = a.x + a.y < 1.0;
  else if (symbol == 3.0) inside = p.y < 0.8 && a.x * 1.75 < p.y + 1.0;
  else if (symbol == 7.0) inside = p.y > -0.8 && a.x * 1.75 < 1.0 - p.y;
  else if (symbol == 4.0) inside = min(a.x, a.y) < 0.36 && max(a.x, a.y) < 0.95;
  else if (symbol == 5.0) inside = abs(a.x - a.y) < 0.5 && max(a.x, a.y) < 0.9;
  else if (symbol == 6.0) inside = min(a.x, a.y) < 0.28 || a.x + a.y < 0.85;
  else if (symbol == 8.0) inside = a.x < 0.83 && a.x * 0.5 + a.y * 0.87 < 0.83;
  else if (symbol == 9.0) inside = p.y < 0.78 && a.x * 0.95 + p.y * 0.31 < 0.78 && a.x * 0.59 - p.y * 0.81 < 0.78;
  if (!inside) discard;
  drawn = vec4(colour.rgb * colour.a, colour.a);
}`;
const [FAINT, PLAIN, BEFORE, NOW, CHOSEN] = [0, 1, 2, 3, 4]; // marks, drawn in this order, the last on top
const HIDDEN = 255;
const gcd = (a, b) => (b ? gcd(b, a % b) : a);
let STRIDE = Math.max(1, Math.floor(0.618 * N)); // steps of this length come by every sample once
while (gcd(STRIDE, N) !== 1) STRIDE++;

class Points {
  constructor(canvas) {
    const gl = canvas.getContext("webgl2", { antialias: false, alpha: true, premultipliedAlpha: true });
    if (!gl) throw new Error("This browser shows no WebGL 2, which draws the points.");
    this.canvas = canvas;
    this.gl = gl;
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => { this.build(); redrawAll(); });
    this.build();
  }

  build() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    ["before", "after", "code", "mark"].forEach((name, at) => gl.bindAttribLocation(program, at, name));
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    gl.useProgram(program);
    this.at = Object.fromEntries(["scale", "shift", "glide", "size", "sizes", "opacities", "colours"].map(
      (name) => [name, gl.getUniformLocation(program, name)]));
    this.buffers = [0, 1, 2, 3].map((at) => {
      const buffer = gl.createBuffer();
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      const kind = at < 2 ? gl.UNSIGNED_SHORT : gl.UNSIGNED_BYTE;
      gl.bufferData(gl.ARRAY_BUFFER, at < 2 ? N * 4 : N, gl.DYNAMIC_DRAW);
      gl.enableVertexAttribArray(at);
      gl.vertexAttribPointer(at, at < 2 ? 2 : 1, kind, at < 2, 0, 0);
      return buffer;
    });
    this.order = gl.createBuffer();
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.order);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.drawn = 0;
    this.keep = this.keep || {};
    for (const [at, array] of Object.entries(this.keep)) this.upload(Number(at), array);
    if (this.entries) this.colour(this.codes, this.entries);
    if (this.marks) this.mark(this.marks);
  }

  upload(at, array) {
    this.keep[at] = array;
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, this.buffers[at]);
    this.gl.bufferSubData(this.gl.ARRAY_BUFFER, 0, array);
  }

  place(before, after) {
    this.upload(0, before);
    this.upload(1, after);
  }

  colour(codes, entries) {
    Object.assign(this, { codes, entries });
    const table = new Uint8Array(256 * 4);
    for (let k = 0; k < 256; k++) table.set([...rgb(grey()), 0], 4 * k);
    entries.forEach((entry, k) => table.set([...rgb(entry.colour), SYMBOL_NUMBERS[entry.symbol]], 4 * k));
    const { gl } = this;
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, table);
    this.upload(2, codes);
  }

  // Hidden points are left out of the order of drawing; the others come mark by mark, so that bought ones lie on top.
  // Within a mark they come scattered over the pool, so that the first few of them are a fair sample.
  mark(marks) {
    this.marks = marks;
    const starts = new Uint32Array(6);
    for (let i = 0; i < N; i++) if (marks[i] !== HIDDEN) starts[marks[i] + 1]++;
    for (let m = 1; m < 6; m++) starts[m] += starts[m - 1];
    this.starts = starts.slice();
    const order = new Uint32Array(starts[5]);
    for (let j = 0, i = 0; j < N; j++, i = (i + STRIDE) % N) if (marks[i] !== HIDDEN) order[starts[marks[i]]++] = i;
    this.drawn = order.length;
    this.gl.bufferData(this.gl.ELEMENT_ARRAY_BUFFER, order, this.gl.DYNAMIC_DRAW);
    this.upload(3, marks);
  }

  // `camera`: {x, y} the middle of the view in the unit square, {k} pixels per unit; `glide` 0 before .. 1 after;
  // `share` of the points of each mark that are drawn, of marks with more than a thousand.
  draw(camera, glide, ratio, share) {
    const { gl, at, canvas } = this;
    const [w, height] = [canvas.width / ratio, canvas.height / ratio];
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform2f(at.scale, (2 * camera.k) / w, (2 * camera.k) / height);
    gl.uniform2f(at.shift, (-2 * camera.k * camera.x) / w, (-2 * camera.k * camera.y) / height);
    gl.uniform1f(at.glide, glide);
    gl.uniform1f(at.size, pointSize(camera) * ratio);
    gl.uniform1fv(at.sizes, [0.8, 1, 1.5, 2.2, 1.25]);
    gl.uniform1fv(at.opacities, [this.faint, this.drawn > 20000 ? 0.6 : 0.85, 0.95, 1, 0.95]);
    for (let m = 0; m < 5; m++) {
      const number = this.starts[m + 1] - this.starts[m];
      const some = number > 1000 ? Math.ceil(number * share) : number;
      if (some) gl.drawElements(gl.POINTS, some, gl.UNSIGNED_INT, 4 * this.starts[m]);
    }
  }
}

// CSS pixels of a plain point: larger for few samples, and when one looks closer.
function pointSize(camera) {
  const few = Math.max(2, Math.min(7, 300 / Math.sqrt(N)));
  return few * Math.min(3, Math.max(1, Math.sqrt(camera.k / camera.fit)));
}
